"""Who takes part, how each is called, and where it leaves its rows."""

import pathlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulator import Simulator

SCRIPTS = pathlib.Path(__file__).parent / "contenders"
COLUMNS = (
    "conf_uuid, display_name, call_number, device_type, media_type, dept_name,"
    " epoch_ms(join_time), epoch_ms(left_time)"
)


@dataclass(frozen=True)
class Stage:
    """What a contender finds: the simulator, its own folder, and the records on the disk."""

    rollbook: pathlib.Path
    simulator: Simulator
    out: pathlib.Path
    records: pathlib.Path


@dataclass(frozen=True)
class Contender:
    """A program that exports; or that does a part of it, for comparison."""

    name: str
    command: Callable[[Stage], Sequence[object]]
    # Its files below `out`, and their columns in the order of COLUMNS; no files: nothing to check.
    files: str | None = "records.parquet"
    columns: str = COLUMNS
    # Slow ones are not asked as often.
    most_runs: int = 9


def rollbook(*more: str) -> Callable[[Stage], Sequence[object]]:
    def command(stage: Stage) -> Sequence[object]:
        export = [stage.rollbook, "export", "--quiet", "--progress", "never", *more]
        export += ["--base-url", stage.simulator.base_url, "--meetings", stage.simulator.list]
        return [*export, "--out", stage.out / "dataset", "--state-dir", stage.out / "state"]

    return command


def script(name: str, *more: str) -> Callable[[Stage], Sequence[object]]:
    def command(stage: Stage) -> Sequence[object]:
        told = [stage.simulator.base_url, stage.simulator.list, stage.out]
        return [sys.executable, SCRIPTS / name, *told, *more]

    return command


def read_json(stage: Stage) -> Sequence[object]:
    return [sys.executable, SCRIPTS / "read_json.py", stage.records, stage.out, "1"]


ROLLBOOK = Contender("rollbook", rollbook("--rate", "unlimited"), "dataset/part-*.parquet")
ROLLBOOK_UNDER_A_RATE = Contender(
    "rollbook --rate 1000/s", rollbook("--rate", "1000/s"), "dataset/part-*.parquet"
)
AIOHTTP = Contender("aiohttp x16, hand-tuned", script("aiohttp_tuned.py"))
CURL_ALONE = Contender("(curl -Z 16, into the void)", script("curl_alone.py"), files=None)
READ_JSON = Contender("(DuckDB read_json, no HTTP)", read_json)
PEERS = [
    AIOHTTP,
    Contender("curl -Z 16 + DuckDB", script("curl_duckdb.py"), most_runs=3),
    Contender("httpx x16", script("httpx_16.py"), most_runs=3),
    Contender("official SDK, a loop", script("vendor_sdk.py", "1"), most_runs=2),
    Contender("official SDK, 16 threads", script("vendor_sdk.py", "16"), most_runs=2),
    Contender(
        "dlt rest_api",
        script("dlt_rest.py"),
        "lake/attendance/records/*.parquet",
        "_meetings_conf_uuid, display_name, call_number, device_type, media_type, dept_name,"
        " join_time, left_time",
        most_runs=1,
    ),
]
