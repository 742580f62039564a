"""Counts the records of each partition of a dataset by the README's lines, and prints them as JSON.

    partitions.py FOLDER COLUMN < JOBS

JOBS is an object of what the README has for a reader's records, by the reader's name; FOLDER has the
dataset that they read. For each reader: the records by the value of the partition column, which
`null` stands for where there is none. A day that is asked for alone has as many.
"""

import json
import os
import sys


def duckdb(records, column):
    import duckdb as db

    def counts(where):
        rows = db.sql(f"SELECT {column}, count(*) FROM {records} {where} GROUP BY ALL")
        return rows.fetchall()

    return counts("WHERE true"), lambda day: counts(f"WHERE {column} = '{day}'")


def polars(records, column):
    import polars as pl

    frame = eval(records, {"pl": pl})

    def counts(frame):
        return frame.group_by(column).len().collect().rows()

    return counts(frame), lambda day: counts(frame.filter(pl.col(column) == day))


def pyarrow(records, column):
    from glob import glob

    import pyarrow as pa
    import pyarrow.dataset as ds

    data = eval(records, {"ds": ds, "pa": pa, "glob": glob})

    def counts(of):
        table = data.to_table(filter=of).group_by(column).aggregate([([], "count_all")])
        return list(zip(table[column].to_pylist(), table["count_all"].to_pylist()))

    def at(day):
        of = ds.field(column) == day
        files = {fragment.path.split("/")[-2] for fragment in data.get_fragments(filter=of)}
        assert files == {f"{column}={day}"}, files
        return counts(of)

    return counts(None), at


def clickhouse(records, column):
    import datetime

    import chdb

    def counts(where):
        text = chdb.query(
            f"SELECT {column}, count() FROM {records} {where} GROUP BY 1", "JSONCompactEachRow"
        ).data()
        rows = [json.loads(line) for line in text.splitlines()]
        date = datetime.date.fromisoformat
        # Integers of 64 bits may come as texts.
        return [(day and date(day), int(count)) for day, count in rows]

    return counts("WHERE true"), lambda day: counts(f"WHERE {column} = '{day}'")


def main():
    folder, column = sys.argv[1:]
    jobs = json.load(sys.stdin)
    os.chdir(folder)
    told = {}
    for reader, records in jobs.items():
        counts, at = globals()[reader](records, column)
        for day, count in counts:
            if day is not None:
                assert at(day) == [(day, count)], (reader, day, at(day))
        told[reader] = {"null" if day is None else str(day): count for day, count in counts}
    print(json.dumps(told))


main()
