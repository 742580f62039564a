"""Results as text for people."""

from collections.abc import Sequence

from killed import Second
from race import Result


def of_race(results: Sequence[Result], records: int) -> str:
    """Medians, and how many times what rollbook takes."""
    base = results[0]
    lines = [
        ["", "wall s", "CPU s", "peak MB", "records/s", "wall x", "CPU x"]
        + ["sim. CPU s", "runs", "rows"]
    ]
    for result in results:
        wall, cpu = result.median("wall_s"), result.median("cpu_s")
        lines.append(
            [
                result.name,
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{result.median('peak_mb'):.0f}",
                f"{records / wall:,.0f}",
                f"{wall / base.median('wall_s'):.1f}",
                f"{cpu / base.median('cpu_s'):.1f}",
                f"{result.median('simulator_cpu_s'):.2f}",
                str(len(result.runs)),
                result.rows,
            ]
        )
    return aligned(lines)


def of_killed(seconds: Sequence[Second]) -> str:
    lines = [
        ["", "first run's requests", "a reader finds", "second run's requests", "rows at last"]
    ]
    for second in seconds:
        lines.append(
            [
                second.name,
                f"{second.first_requests:,}",
                second.left,
                f"{second.second_requests:,}",
                second.rows,
            ]
        )
    return aligned(lines)


def foreign_share(results: Sequence[Result], cores: int) -> float:
    """The part of the machine that neither contenders nor simulator used."""
    used = sum(result.total("foreign_cpu_s") for result in results)
    return used / (cores * sum(result.total("wall_s") for result in results))


def of_simulator(results: Sequence[Result], records: int) -> str:
    """How far it is from holding anybody up."""
    cpu = sum(result.total("simulator_cpu_s") for result in results)
    each = cpu / (records * sum(len(result.runs) for result in results))
    return (
        f"the simulator takes {each * 1e9:.0f} ns of CPU a record;"
        f" on a core of its own it could give {1 / max(each, 1e-9):,.0f} records/s"
    )


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns side by side: the first and the last to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    last = len(widths) - 1

    def cell(place: int, text: str) -> str:
        return text.ljust(widths[place]) if place in (0, last) else text.rjust(widths[place])

    return "\n".join(
        "  ".join(cell(place, text) for place, text in enumerate(line)).rstrip() for line in lines
    )
