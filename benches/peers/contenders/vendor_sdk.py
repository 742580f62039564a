"""The vendor's own SDK and pyarrow.

    vendor_sdk.py BASE_URL LIST OUT THREADS

With one thread, a loop over pages as the SDK's users write it; with more, all pages after the
first of a meeting go to a pool. Its login asks for https whatever the endpoint is, so the token is
handed to it, and it speaks plain HTTP like the others.
"""

import datetime
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkmeeting.v1 import MeetingClient, SearchAttendanceRecordsOfHisMeetingRequest
from huaweicloudsdkmeeting.v1.meeting_credentials import MeetingCredentials

import records
import task


def logged_in(token: str) -> MeetingCredentials:
    """Credentials that have their token already."""
    credentials = MeetingCredentials()
    credentials._token = token
    credentials._last_token_date = datetime.datetime.now()
    return credentials


class Reader:
    """Pages by the SDK, as dictionaries with the API's names."""

    def __init__(self, given: task.Task) -> None:
        self._client = (
            MeetingClient.new_builder()
            .with_http_config(HttpConfig(timeout=(10, 60)))
            .with_credentials(logged_in(given.token))
            .with_endpoint(given.base_url)
            .build()
        )

    def page(self, meeting: str, offset: int) -> tuple[int, list[dict]]:
        """The count that the page tells, and its records."""
        page = self._client.search_attendance_records_of_his_meeting(
            SearchAttendanceRecordsOfHisMeetingRequest(
                conf_uuid=meeting,
                offset=offset,
                limit=task.PAGE,
                accept_language=task.LANGUAGE,
            )
        )
        rows = [
            {
                "displayName": record.display_name,
                "callNumber": record.call_number,
                "deviceType": record.device_type,
                "mediaType": record.media_type,
                "deptName": record.dept_name,
                "joinTime": record.join_time,
                "leftTime": record.left_time,
            }
            for record in page.data
        ]
        return page.count, rows


Each = Callable[[Callable, Iterable], Iterator]


def pages(reader: Reader, meetings: list[str], each: Each) -> Iterator[tuple[str, list[dict]]]:
    """Every page of every meeting; `each` is `map`, or that of a pool."""
    firsts = each(lambda meeting: (meeting, *reader.page(meeting, 0)), meetings)
    for meeting, count, rows in firsts:
        yield meeting, rows
        later = range(task.PAGE, count, task.PAGE)
        for _, rows in each(lambda offset, of=meeting: reader.page(of, offset), later):
            yield meeting, rows


def main() -> None:
    threads = int(sys.argv.pop())
    given = task.given()
    writer, batch = records.writer(given.out), records.Batch()
    with ThreadPoolExecutor(threads) as pool:
        each = map if threads == 1 else pool.map
        for meeting, rows in pages(Reader(given), given.meetings, each):
            batch.add(meeting, rows)
            if batch.is_full:
                writer.write_table(batch.table())
                batch = records.Batch()
    writer.write_table(batch.table())
    writer.close()


main()
