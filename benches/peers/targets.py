"""What rollbook is to reach beside others, and whether it does.

Both sides without their start-up, which is what they cost when there is nothing to export: an
interpreter and its imports are no part of the work, and would flatter rollbook.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import table
from lineup import AIOHTTP, READ_JSON, ROLLBOOK
from race import Result

CONTENDERS = [ROLLBOOK, AIOHTTP, READ_JSON]


@dataclass(frozen=True)
class Target:
    """A ratio that was measured, and the one that is wanted."""

    name: str
    measured: float
    least: float | None = None
    most: float | None = None

    @property
    def is_met(self) -> bool:
        enough = self.least is None or self.measured >= self.least
        return enough and (self.most is None or self.measured <= self.most)


def targets(results: Sequence[Result], start_up: Sequence[Result]) -> list[Target]:
    def net(name: str, figure: str) -> float:
        full, empty = (
            next(result.median(figure) for result in all_of_them if result.name == name)
            for all_of_them in (results, start_up)
        )
        return full - empty

    wall = net(AIOHTTP.name, "wall_s") / net(ROLLBOOK.name, "wall_s")
    cpu = net(AIOHTTP.name, "cpu_s") / net(ROLLBOOK.name, "cpu_s")
    share = net(ROLLBOOK.name, "cpu_s") / net(READ_JSON.name, "cpu_s")
    return [
        Target("X3 records/s, times those of aiohttp", wall, least=6.0),
        Target("X3 CPU of aiohttp, times ours", cpu, least=6.0),
        Target("X4 CPU, part of DuckDB's read_json", share, most=0.85),
    ]


def text(reached: Sequence[Target]) -> str:
    lines = [["target, start-up left out", "measured", "wanted", ""]]
    for target in reached:
        wanted = f">= {target.least}" if target.most is None else f"<= {target.most}"
        state = "met" if target.is_met else "MISSED"
        lines.append([target.name, f"{target.measured:.2f}", wanted, state])
    return table.aligned(lines)
