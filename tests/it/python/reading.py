"""Runs lines for readers as the README has them, and prints what they find, as JSON.

    reading.py FOLDER < JOBS

JOBS is an object of lines by the name of a reader: duckdb, polars, pandas, pyarrow or clickhouse.
FOLDER has the dataset that they read. What is found is rows of a meeting's UUID, its subject
and two figures, in order; a figure that is null counts as 0.
"""

import json
import os
import sys


def duckdb(lines):
    import duckdb as db

    return db.sql(lines).fetchall()


def polars(lines):
    return executed(lines)["result"].rows()


def pandas(lines):
    return executed(lines)["result"].itertuples(index=False, name=None)


def pyarrow(lines):
    return zip(*(column.to_pylist() for column in executed(lines)["result"].columns))


def clickhouse(lines):
    import chdb

    text = chdb.query(lines, "JSONCompactEachRow").data()
    # Integers of 64 bits may come as texts.
    return [[uuid, subject, *map(int, (a or 0, b or 0))] for uuid, subject, a, b in
            map(json.loads, text.splitlines())]


def executed(lines):
    names = {}
    exec(compile(lines, "README.md", "exec"), names)
    return names


def told(row):
    import pandas as pd

    uuid, subject, *figures = row
    return [uuid, subject, *(0 if pd.isna(figure) else int(figure) for figure in figures)]


def main():
    jobs = json.load(sys.stdin)
    os.chdir(sys.argv[1])
    found = {name: sorted(map(told, globals()[name](lines))) for name, lines in jobs.items()}
    print(json.dumps(found))


main()
