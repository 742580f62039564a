"""A command, and what it cost."""

import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Between two looks at the memory of a command with children.
PACE = 0.1


@dataclass(frozen=True)
class Cost:
    """Of a whole tree of processes."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int


class Running:
    """A command that has been started, in a session of its own."""

    def __init__(
        self, command: Sequence[object], environment: Mapping[str, str], log: pathlib.Path
    ) -> None:
        self._begun = time.monotonic()
        with open(log, "wb") as said:
            self._process = subprocess.Popen(
                list(map(str, command)),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def cost(self) -> Cost:
        """Waits for its end."""
        memory = _Memory(self._process.pid)
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except KeyboardInterrupt:
            memory.peak()
            self._kill()
            raise
        wall = time.monotonic() - self._begun
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Cost(
            wall_s=wall,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=max(usage.ru_maxrss * 1024, memory.peak()) / 1e6,
            code=self._process.returncode,
        )

    def kill_when_idle(self, silence: float, others: Callable[[], float]) -> bool:
        """Kills it, children and all, when neither it nor `others` used CPU for so many seconds.

        False if it ended before.
        """
        last, since = -1.0, time.monotonic()
        while time.monotonic() - since < silence:
            if self._process.poll() is not None:
                return False
            spent = others() + sum(map(_cpu, _tree(self._process.pid)))
            if spent != last:
                last, since = spent, time.monotonic()
            time.sleep(silence / 20)
        self._kill()
        return True

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class _Memory:
    """The largest sum of what a tree of processes held at one time.

    The system knows the peak of each process by itself, so that only trees are looked at.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(PACE):
            tree = _tree(self._root)
            if len(tree) > 1:
                self._peak = max(self._peak, sum(map(_resident, tree)))

    def peak(self) -> int:
        self._over.set()
        self._thread.join()
        return self._peak


def machine_cpu() -> float:
    """Seconds of CPU that everybody on this machine has used."""
    figures = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, *interrupts = map(int, figures)
    return (user + nice + system + sum(interrupts)) / TICKS


def _tree(root: int) -> list[int]:
    """A process with its descendants."""
    tree = [root]
    for process in tree:
        for task in _read(f"/proc/{process}/task", list_folder=True):
            tree += map(int, _read(f"/proc/{process}/task/{task}/children"))
    return tree


def _cpu(process: int) -> float:
    stat = _read(f"/proc/{process}/stat")
    # The names of these programs have no spaces; user and system time.
    return sum(map(int, stat[13:15])) / TICKS


def _resident(process: int) -> int:
    return sum(map(int, _read(f"/proc/{process}/statm")[1:2])) * PAGE


def _read(path: str, *, list_folder: bool = False) -> list[str]:
    """The words in a file, or the names in a folder; none if its process has ended."""
    try:
        return os.listdir(path) if list_folder else pathlib.Path(path).read_text().split()
    except OSError:
        return []
