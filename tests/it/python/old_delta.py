"""Reads a Delta table by a deltalake of 2023, which knows reader version 1 alone, and prints what it
sees, as JSON.

    old_delta.py < URI, as JSON
"""

import json
import sys

import deltalake
import pyarrow.compute as pc

table = deltalake.DeltaTable(json.load(sys.stdin))
protocol = table.protocol()
rows = table.to_pyarrow_table()
print(
    json.dumps(
        {
            "deltalake": deltalake.__version__,
            "protocol": [protocol.min_reader_version, protocol.min_writer_version],
            "version": table.version(),
            "rows": rows.num_rows,
            "duration_ms": pc.sum(rows["duration_ms"]).as_py(),
        }
    )
)
