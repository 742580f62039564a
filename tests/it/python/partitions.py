"""Counts the records of each partition of a dataset as its users would, and prints them as JSON.

    partitions.py FOLDER COLUMN [READER]...

For each reader: the records by the value of the partition column, which `null` stands for where
there is none.
"""

import json
import pathlib
import sys


def duckdb(folder, column):
    import duckdb as db

    rows = db.sql(
        f"SELECT {column}, count(*) FROM read_parquet("
        f"'{folder}/{column}=*/part-*.parquet', hive_partitioning = true) GROUP BY ALL"
    )
    return rows.fetchall()


def polars(folder, column):
    import polars as pl

    frame = pl.scan_parquet(f"{folder}/{column}=*/part-*.parquet", hive_partitioning=True)
    return frame.group_by(column).len().collect().rows()


def pyarrow(folder, column):
    import pyarrow as pa
    import pyarrow.dataset as ds

    schema = pa.schema([(column, pa.date32())])
    # Its names that begin with an underscore are nobody's, as those of the ledger do.
    data = ds.dataset(
        sorted(map(str, pathlib.Path(folder).glob(f"{column}=*/part-*.parquet"))),
        partitioning=ds.partitioning(schema, flavor="hive"),
        partition_base_dir=folder,
    )
    table = data.to_table().group_by(column).aggregate([([], "count_all")])
    return zip(table[column].to_pylist(), table["count_all"].to_pylist())


def main():
    folder, column, *readers = sys.argv[1:]
    told = {}
    for reader in readers:
        rows = globals()[reader](folder, column)
        told[reader] = {"null" if value is None else str(value): count for value, count in rows}
    print(json.dumps(told))


main()
