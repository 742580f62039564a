"""Joins the records of a dataset to its meetings, as a warehouse would, and prints what each reader
finds, as JSON.

    join.py FOLDER parquet|arrow|ndjson

For each reader: the meetings, the records that find their meeting, the meetings without a record,
the sum of `size` over all records, and the least start as milliseconds.
"""

import glob
import json
import os
import sys


def duckdb(records, meetings, form):
    import duckdb as db

    def table(paths):
        if form == "parquet":
            return db.read_parquet(paths)
        if form == "ndjson":
            return db.read_json(paths, format="newline_delimited")
        return db.from_arrow(arrow_table(paths))

    records, meetings = table(records), table(meetings)
    row = db.sql(
        "SELECT (SELECT count(*) FROM meetings), count(r.conf_uuid),"
        " count(*) FILTER (r.conf_uuid IS NULL),"
        " (sum(m.size) FILTER (r.conf_uuid IS NOT NULL))::BIGINT,"
        " epoch_ms(min(m.start_time)::TIMESTAMPTZ)"
        " FROM meetings m LEFT JOIN records r USING (conf_uuid)"
    ).fetchall()[0]
    return list(row)


def pyarrow(records, meetings, form):
    import pyarrow.compute as pc

    records = arrow_table(records, form).select(["conf_uuid", "record_index"])
    meetings = arrow_table(meetings, form).select(["conf_uuid", "size", "start_time"])
    joined = records.join(meetings, "conf_uuid", join_type="inner")
    without = meetings.join(records, "conf_uuid", join_type="left anti")
    start = pc.min(meetings["start_time"]).as_py()
    return [
        meetings.num_rows,
        joined.num_rows,
        without.num_rows,
        pc.sum(joined["size"]).as_py(),
        int(start.timestamp() * 1000),
    ]


def arrow_table(paths, form="arrow"):
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet

    def one(path):
        if form == "parquet":
            return pa.parquet.ParquetFile(path).read()
        if form == "ndjson":
            return ndjson(pa, path)
        with pa.ipc.open_file(path) as file:
            return file.read_all()

    return pa.concat_tables([one(path).replace_schema_metadata() for path in paths])


def ndjson(pa, path):
    import datetime

    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        for name in row.keys() & {"start_time", "end_time", "join_time", "left_time"}:
            if row[name] is not None:
                row[name] = datetime.datetime.fromisoformat(row[name])
    return pa.Table.from_pylist(rows)


folder, form = sys.argv[1:3]
parts = [
    sorted(glob.glob(os.path.join(folder, place, "part-*." + form)))
    for place in ("", "meetings")
]
print(json.dumps({reader.__name__: reader(*parts, form) for reader in (duckdb, pyarrow)}))
