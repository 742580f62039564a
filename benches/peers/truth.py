"""Reads every record from a simulator in the plainest way, and prints what must come out.

    truth.py BASE_URL LIST FILE

FILE gets the records, one a line, each with its meeting. One request after the other, by a client
that no contender has, so that none is held against itself.
"""

import http.client
import json
import os
import pathlib
import sys
import urllib.parse

import orjson

import digest

PATH = "/v1/mmc/management/conferences/history/confAttendeeRecord"
PAGE = 500
COLUMNS = "confUUID, displayName, callNumber, deviceType, mediaType, deptName, joinTime, leftTime"


def pages(base_url: str, meeting: str):
    """The records of each page of a meeting."""
    site = urllib.parse.urlsplit(base_url)
    connection = http.client.HTTPConnection(site.hostname, site.port)
    headers = {
        "X-Access-Token": os.environ["ROLLBOOK_ACCESS_TOKEN"],
        "Accept-Language": "en-US",
    }
    offset, count = 0, 1
    while offset < count:
        query = urllib.parse.urlencode({"confUUID": meeting, "offset": offset, "limit": PAGE})
        connection.request("GET", f"{PATH}?{query}", headers=headers)
        answer = orjson.loads(connection.getresponse().read())
        count = answer["count"]
        assert len(answer["data"]) == min(PAGE, count - offset), answer["offset"]
        yield answer["data"]
        offset += PAGE
    connection.close()


def main() -> None:
    base_url, meetings, path = sys.argv[1:]
    rows = stayed = 0
    with open(path, "wb") as file:
        for meeting in pathlib.Path(meetings).read_text(encoding="utf-8").split():
            for records in pages(base_url, meeting):
                rows += len(records)
                stayed += sum(record["leftTime"] - record["joinTime"] for record in records)
                lines = [orjson.dumps({"confUUID": meeting} | record) for record in records]
                file.write(b"\n".join(lines) + b"\n")
    told = digest.of(f"read_json('{path}', format = 'newline_delimited')", COLUMNS)
    # DuckDB reads the truth as well as the contenders' files; here it is held against Python.
    assert (told["rows"], told["stayed_ms"]) == (rows, stayed), told
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
