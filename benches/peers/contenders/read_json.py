"""DuckDB alone: records that are on the disk already, one a line, to Parquet. No HTTP.

    read_json.py FILE OUT THREADS

Not a peer, since it asks nobody: the bound that a native JSON reader and Parquet writer set.
"""

import pathlib
import sys

import duckdb


def main() -> None:
    source, out, threads = sys.argv[1:]
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"SET threads = {int(threads)}")
    duckdb.execute(
        f"""
        COPY (
            SELECT
                confUUID AS conf_uuid,
                displayName AS display_name,
                callNumber AS call_number,
                deviceType AS device_type,
                mediaType AS media_type,
                deptName AS dept_name,
                make_timestamptz(joinTime * 1000) AS join_time,
                make_timestamptz(leftTime * 1000) AS left_time,
                leftTime - joinTime AS duration_ms
            FROM read_json('{source}', format = 'newline_delimited', columns = {{
                'confUUID': 'VARCHAR', 'displayName': 'VARCHAR', 'callNumber': 'VARCHAR',
                'deviceType': 'VARCHAR', 'joinTime': 'BIGINT', 'leftTime': 'BIGINT',
                'mediaType': 'VARCHAR', 'deptName': 'VARCHAR'
            }})
        ) TO '{out}/records.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
        """
    )


main()
