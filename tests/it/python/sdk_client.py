"""Reads a meeting with the vendor's own SDK, as a user of it would.

    sdk_client.py ENDPOINT AUTHORITY APP_ID APP_KEY

Logs in with an App ID, lists the historical meetings, pages through the records of each, and
writes {confUUID: [record, ...]} as JSON to standard output. The server's certificate is verified
against the PEM file AUTHORITY.
"""

import json
import sys

from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkmeeting.v1 import (
    MeetingClient,
    SearchAttendanceRecordsOfHisMeetingRequest,
    SearchHisMeetingsRequest,
)
from huaweicloudsdkmeeting.v1.meeting_credentials import AuthTypeEnum, MeetingCredentials

PAGE = 500
FAR_FUTURE = 4_102_444_800_000


def pages(ask):
    """Every row of a list, by offset and count."""
    offset = 0
    while True:
        page = ask(offset)
        assert (page.offset, page.limit) == (offset, PAGE), page
        yield from page.data
        offset += len(page.data)
        if offset >= page.count:
            return


def main():
    endpoint, authority, app_id, app_key = sys.argv[1:]
    credentials = (
        MeetingCredentials()
        .with_auth_type_enum(AuthTypeEnum.APP_ID)
        .with_app_id(app_id)
        .with_app_key(app_key)
    )
    client = (
        MeetingClient.new_builder()
        .with_http_config(HttpConfig(ssl_ca_cert=authority, timeout=(10, 30)))
        .with_credentials(credentials)
        .with_endpoint(endpoint)
        .build()
    )

    def meetings(offset):
        return client.search_his_meetings(
            SearchHisMeetingsRequest(
                offset=offset, limit=PAGE, query_all=True, start_date=0, end_date=FAR_FUTURE
            )
        )

    def records(uuid):
        return lambda offset: client.search_attendance_records_of_his_meeting(
            SearchAttendanceRecordsOfHisMeetingRequest(
                conf_uuid=uuid, offset=offset, limit=PAGE, accept_language="en-US"
            )
        )

    read = {
        meeting.conf_uuid: [record.to_dict() for record in pages(records(meeting.conf_uuid))]
        for meeting in pages(meetings)
    }
    json.dump(read, sys.stdout)


main()
