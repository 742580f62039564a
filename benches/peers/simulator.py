"""`rollbook simulate` as a process of its own."""

import os
import pathlib
import re
import signal
import subprocess
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class World:
    """What there is to export; the same figures give the same records each time."""

    meetings: int
    records: int

    @property
    def total(self) -> int:
        return self.meetings * self.records


class Simulator:
    """A running simulator; it stops with the block that it was made for."""

    def __init__(
        self,
        rollbook: pathlib.Path,
        world: World,
        folder: pathlib.Path,
        *,
        latency: str = "0s",
        faults: pathlib.Path | None = None,
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.list = folder / "list.txt"
        command = [rollbook, "simulate", "--quiet", "--list", self.list, "--latency", latency]
        command += ["--meetings", str(world.meetings), "--records", str(world.records)]
        command += ["--listen", listen]
        command += ["--faults", faults] if faults else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = {}
        for line in self._process.stdout:
            if line.startswith("# Ctrl-C"):
                break
            if found := re.fullmatch(r"export (\w+)=(.*)\n", line):
                said[found[1]] = found[2]
        else:
            raise RuntimeError("the simulator did not start")
        self.base_url = said["ROLLBOOK_BASE_URL"]
        self.token = said["ROLLBOOK_ACCESS_TOKEN"]
        self.requests = 0

    @property
    def address(self) -> str:
        """Where it listens, for one that takes its place."""
        return self.base_url.removeprefix("http://")

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        stat = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
        # Behind the name, which may hold spaces; user and system time.
        ticks = stat.rpartition(") ")[2].split()[11:13]
        return sum(map(int, ticks)) / TICKS

    def __enter__(self) -> "Simulator":
        return self

    def __exit__(self, *_: object) -> None:
        """Stops it; `requests` then says how many came."""
        self._process.send_signal(signal.SIGINT)
        rest, _ = self._process.communicate()
        found = re.search(r"answered: (\d+) requests", rest)
        if not found:
            raise RuntimeError("the simulator did not say how many requests came")
        self.requests = int(found[1])
