"""Killed half-way and run again: how many requests does the second run cost?

The simulator stops answering after half of the pages. When the contender has gone quiet it is
killed with SIGKILL, and run again against a simulator that answers all, at the same address and
with the same records.
"""

import shutil
from dataclasses import dataclass

from lineup import Contender
from race import Track, Truth, note
from simulator import World

PAGE = 500


@dataclass(frozen=True)
class Second:
    """What is known after the second run."""

    name: str
    first_requests: int
    left: str
    second_requests: int
    rows: str

    @property
    def is_right(self) -> bool:
        return not self.rows.startswith("WRONG")


def killed(
    track: Track, contender: Contender, world: World, truth: Truth, silence: float
) -> Second:
    """Both runs; `silence` is for how many seconds quiet means that it waits in vain."""
    half = world.meetings * -(-world.records // PAGE) // 2
    faults = track.folder / "faults.toml"
    faults.write_text(f'[[fault]]\nwhen = {{ hits = "since {half + 1}" }}\nwhat = "hang"\n')
    with track.simulator(world, faults=faults) as first:
        stage = track.stage(contender, first, truth)
        shutil.rmtree(stage.out, ignore_errors=True)
        was_killed = track.run(contender, stage).kill_when_idle(silence, first.cpu)
    left = track.left(contender, stage)
    with track.simulator(world, listen=first.address) as second:
        stage = track.stage(contender, second, truth)
        cost = track.run(contender, stage).cost()
    found = track.left(contender, stage)
    rows = "right" if found == truth.figures else f"WRONG: {found}"
    if cost.code:
        rows = f"WRONG: exit code {cost.code}"
    if not was_killed:
        rows = "WRONG: ended before it was killed"
    note(f"  {contender.name}: {rows}")
    return Second(contender.name, first.requests, said_of(left), second.requests, rows)


def said_of(left: dict | None) -> str:
    """What a reader finds."""
    if left is None:
        return "nothing"
    return "unreadable file" if "error" in left else f"{left['rows']:,} rows"
