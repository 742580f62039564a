"""Plays a newer rollbook whose records have one column more: commits one meeting to a dataset.

    evolve.py DATASET

Only what a dataset's files say of themselves is used: a part with the new column, `join_source`,
and an entry of the ledger's third version, which tells the schema's second one. The meeting is
called `newer` and has the records of the first one of part 1.
"""

import hashlib
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

dataset = pathlib.Path(sys.argv[1])
entries = sorted(dataset.glob("_rollbook/ledger/*.json"))
sequence = len(entries) + 1
first = json.loads(entries[0].read_text())

old = pq.ParquetFile(dataset / "part-00000000000000000001-00000.parquet").read()
meeting = first["meetings"][0]
records = old.slice(0, meeting["rows"])
records = records.set_column(
    0, records.schema.field(0), pa.array(["newer"] * records.num_rows)
).append_column("join_source", pa.array(["link"] * records.num_rows))
metadata = {**old.schema.metadata, b"rollbook.schema_version": b"2"}

described = pq.ParquetFile(dataset / "meetings/part-00000000000000000001-00000.parquet").read()
described = described.slice(0, 1)
described = described.set_column(0, described.schema.field(0), pa.array(["newer"]))

parts = []
for folder, table in [
    ("meetings/", described),
    ("", records.replace_schema_metadata(metadata)),
]:
    path = f"{folder}part-{sequence:020}-00000.parquet"
    pq.write_table(table, dataset / path, compression="zstd")
    data = (dataset / path).read_bytes()
    parts.append(
        {
            "path": path,
            "rows": table.num_rows,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "staged": f"_rollbook/staging/newer/{len(parts)}.parquet",
        }
    )
entry = {
    **first,
    "version": 3,
    "sequence": sequence,
    "run_id": "newer",
    "parts": parts,
    "meetings": [{**meeting, "conf_uuid": "newer"}],
    "schema_versions": {"records": 2, "meetings": 1},
}
path = dataset / f"_rollbook/ledger/{sequence:020}.json"
path.write_text(json.dumps(entry) + "\n")
