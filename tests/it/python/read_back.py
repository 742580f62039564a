"""Reads a dataset's parts as its users would, and prints what each reader sees, as JSON.

    read_back.py FOLDER parquet|arrow|ndjson [READER]...

For each reader: the rows, the distinct keys, the sum of duration_ms, the least join_time as
milliseconds, the names that are there, and the types of the two times.
"""

import glob
import json
import pathlib
import sys


def duckdb(paths, form):
    import duckdb as db

    if form == "parquet":
        source = db.read_parquet(paths)
    elif form == "ndjson":
        source = db.read_json(paths, format="newline_delimited")
    else:
        import pyarrow as pa

        source = db.from_arrow(arrow_table(pa, paths))
    row = db.sql(
        "SELECT count(*), count(DISTINCT (conf_uuid, record_index)), sum(duration_ms)::BIGINT,"
        " epoch_ms(min(join_time)), count(DISTINCT display_name) FROM source"
    ).fetchall()[0]
    types = dict(zip(source.columns, map(str, source.types)))
    return answer(*row, types["join_time"], types["left_time"])


def polars(paths, form):
    import polars as pl

    if form == "parquet":
        frame = pl.read_parquet(paths)
    elif form == "arrow":
        frame = pl.scan_ipc(paths).collect()
    else:
        frame = pl.concat([pl.read_ndjson(path) for path in paths])
        frame = frame.with_columns(
            pl.col(name).str.to_datetime(time_unit="ms", time_zone="UTC")
            for name in ("join_time", "left_time")
        )
    return answer(
        frame.height,
        frame.select("conf_uuid", "record_index").n_unique(),
        frame["duration_ms"].sum(),
        frame["join_time"].dt.epoch("ms").min(),
        frame["display_name"].n_unique(),
        str(frame.schema["join_time"]),
        str(frame.schema["left_time"]),
    )


def pyarrow(paths, form):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json
    import pyarrow.parquet as pq

    if form == "parquet":
        table = pa.concat_tables([pq.read_table(path) for path in paths])
    elif form == "arrow":
        table = arrow_table(pa, paths)
    else:
        utc = pa.timestamp("ms", tz="UTC")
        options = pa.json.ParseOptions(
            explicit_schema=pa.schema([("join_time", utc), ("left_time", utc)])
        )
        table = pa.concat_tables(
            [pa.json.read_json(path, parse_options=options) for path in paths],
            promote_options="permissive",
        )
    keys = table.group_by(["conf_uuid", "record_index"]).aggregate([])
    return answer(
        table.num_rows,
        keys.num_rows,
        pc.sum(table["duration_ms"]).as_py(),
        pc.min(table["join_time"].cast(pa.int64())).as_py(),
        len(pc.unique(table["display_name"])),
        str(table.schema.field("join_time").type),
        str(table.schema.field("left_time").type),
    )


def arrow_table(pa, paths):
    import pyarrow.dataset as ds

    return ds.dataset(paths, format="ipc").to_table()


def pandas(paths, form):
    import pandas as pd

    frame = pd.concat([pd.read_feather(path) for path in paths])
    first = frame["join_time"].min()
    return answer(
        len(frame),
        len(frame.drop_duplicates(["conf_uuid", "record_index"])),
        int(frame["duration_ms"].sum()),
        int(first.timestamp() * 1000 + 0.5),
        frame["display_name"].nunique(),
        str(frame["join_time"].dtype),
        str(frame["left_time"].dtype),
    )


def answer(rows, keys, duration_ms, first_join, names, join_time, left_time):
    return {
        "rows": rows,
        "keys": keys,
        "duration_ms": duration_ms,
        "first_join": first_join,
        "names": names,
        "types": [join_time, left_time],
    }


def main():
    folder, form, *readers = sys.argv[1:]
    paths = sorted(glob.glob(str(pathlib.Path(folder) / f"part-*.{form}")))
    print(json.dumps({name: globals()[name](paths, form) for name in readers}))


main()
