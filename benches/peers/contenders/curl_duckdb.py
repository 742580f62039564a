"""curl, 16 transfers at once, into files; DuckDB from the files to Parquet: a shell script's way.

Counts come with the first page of each meeting, so curl runs twice.
"""

import json
import shutil

import duckdb

import curl
import task

TEXTS = ("displayName", "callNumber", "deviceType", "mediaType", "deptName")
RECORD = dict.fromkeys(TEXTS, "VARCHAR") | {"joinTime": "BIGINT", "leftTime": "BIGINT"}
PAGE = json.dumps({"data": [RECORD]})


def main() -> None:
    given = task.given()
    folder = given.out / "pages"
    folder.mkdir(exist_ok=True)
    curl.fetch(given, curl.first_pages(given), folder)
    curl.fetch(given, curl.later_pages(given, folder), folder)
    # read_text and from_json: read_json takes many times as long over objects as large as a page.
    duckdb.execute(
        f"""
        COPY (
            SELECT
                conf_uuid,
                record.displayName AS display_name,
                record.callNumber AS call_number,
                record.deviceType AS device_type,
                record.mediaType AS media_type,
                record.deptName AS dept_name,
                make_timestamptz(record.joinTime * 1000) AS join_time,
                make_timestamptz(record.leftTime * 1000) AS left_time,
                record.leftTime - record.joinTime AS duration_ms
            FROM (
                SELECT
                    parse_filename(filename).split('-')[1] AS conf_uuid,
                    unnest(from_json(content, '{PAGE}').data) AS record
                FROM read_text('{folder}/*.json')
            )
        ) TO '{given.out}/records.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
        """
    )
    shutil.rmtree(folder)


main()
