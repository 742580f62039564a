"""Prints all rows of both tables of a dataset of Parquet, with values as NDJSON has them: those
that DuckDB reads, and those that pyarrow does.

    rows.py DATASET
"""

import datetime
import json
import pathlib
import sys

import duckdb
import pyarrow.parquet as pq

duckdb.sql("SET TimeZone = 'UTC'")


def by_duckdb(paths):
    relation = duckdb.sql(f"SELECT * FROM read_parquet({paths!r}, union_by_name = true)")
    return [dict(zip(relation.columns, row)) for row in relation.fetchall()]


def by_pyarrow(paths):
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def plain(value):
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
        return value.replace("+00:00", "Z")
    return value


found = {}
for name, pattern in [("records", "part-*"), ("meetings", "meetings/part-*")]:
    paths = [str(path) for path in sorted(pathlib.Path(sys.argv[1]).glob(pattern))]
    found[name] = [
        [{key: plain(value) for key, value in row.items()} for row in read(paths)]
        for read in (by_duckdb, by_pyarrow)
    ]
print(json.dumps(found))
