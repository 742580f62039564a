"""What every contender is told: SCRIPT BASE_URL LIST OUT, and the token by the environment."""

import os
import pathlib
import sys
from dataclasses import dataclass

PATH = "/v1/mmc/management/conferences/history/confAttendeeRecord"
PAGE = 500
AT_ONCE = 16
LANGUAGE = "en-US"


@dataclass(frozen=True)
class Task:
    """One export: from where, as whom, of which meetings, to which folder."""

    base_url: str
    token: str
    meetings: list[str]
    out: pathlib.Path

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Access-Token": self.token, "Accept-Language": LANGUAGE}

    def url(self, meeting: str, offset: int) -> str:
        return f"{self.base_url}{PATH}?confUUID={meeting}&offset={offset}&limit={PAGE}"


def given() -> Task:
    """The task of this process."""
    base_url, meetings, out = sys.argv[1:]
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return Task(
        base_url,
        os.environ["ROLLBOOK_ACCESS_TOKEN"],
        pathlib.Path(meetings).read_text(encoding="utf-8").split(),
        folder,
    )
