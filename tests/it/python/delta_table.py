"""Reads a Delta table as its users would, or changes it behind rollbook's back.

    delta_table.py read URI [OPTIONS]      what deltalake and polars see, as JSON
    delta_table.py partitions URI COLUMN   the records by the column that tells them apart, as JSON
    delta_table.py append URI              one row of somebody else's
    delta_table.py optimize URI            small files merged into one
"""

import json
import sys

import deltalake
import polars as pl

COLUMNS = ["conf_uuid", "record_index", "display_name"]


def read(uri, options="{}"):
    options = json.loads(options)
    table = deltalake.DeltaTable(uri, storage_options=options)
    arrow = table.to_pyarrow_table()
    frame = pl.scan_delta(uri, storage_options=options).collect()
    fields = table.schema().fields
    types = {name: str(frame.schema[name]) for name in ("record_index", "join_time")}
    answer = {
        "version": table.version(),
        "history": [commit["operation"] for commit in reversed(table.history())],
        "required": [field.name for field in fields if not field.nullable],
        "comments": sum("comment" in field.metadata for field in fields),
        "types": types,
        "deltalake": seen(pl.from_arrow(arrow)),
        "polars": seen(frame),
    }
    print(json.dumps(answer))


def seen(frame):
    rows = frame.select(COLUMNS).rows()
    return {
        "rows": rows,
        "duration_ms": frame["duration_ms"].sum(),
        "first_join": frame["join_time"].dt.epoch("ms").min(),
    }


def partitions(uri, column):
    table = deltalake.DeltaTable(uri)
    arrow = pl.from_arrow(table.to_pyarrow_table())
    answer = {
        "columns": table.metadata().partition_columns,
        "last": table.schema().fields[-1].name,
        "deltalake": counted(arrow, column),
        "polars": counted(pl.scan_delta(uri).collect(), column),
    }
    print(json.dumps(answer))


def counted(frame, column):
    counts = frame.group_by(column).len().rows()
    return {"null" if value is None else str(value): count for value, count in counts}


def append(uri):
    table = deltalake.DeltaTable(uri)
    row = table.to_pyarrow_table().slice(0, 1)
    deltalake.write_deltalake(table, row, mode="append")


def optimize(uri):
    deltalake.DeltaTable(uri).optimize.compact()


globals()[sys.argv[1]](*sys.argv[2:])
