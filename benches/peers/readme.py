"""The table of the README, from the figures of all scenarios.

    readme.py FIGURES.json
"""

import json
import pathlib
import statistics
import sys

HEAD = [
    "",
    "CPU s",
    "wall s",
    "peak MB",
    "CPU x",
    "latency: wall s",
    "many: CPU s",
    "killed: requests",
]
# Not an export, or no contender of the races.
LEFT_OUT = "("


def markdown(record: dict) -> str:
    def median(scenario: str, name: str, figure: str) -> float | None:
        for result in record[scenario]:
            if result["name"] == name:
                return statistics.median(run[figure] for run in result["runs"])
        return None

    asked = {second["name"]: second["second_requests"] for second in record["killed"]}
    under_a_rate = next(asked[name] for name in asked if name.startswith("rollbook --rate"))
    ours = median("one", "rollbook", "cpu_s")
    lines = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)]]
    for result in record["one"]:
        name = result["name"]
        if name.startswith(LEFT_OUT):
            continue
        cpu = median("one", name, "cpu_s")
        requests = f"{asked[name]:,}"
        if name == "rollbook":
            requests += f"; {under_a_rate:,} under a rate"
        lines.append(
            [
                f"**{name}**" if name == "rollbook" else name,
                f"{cpu:.2f}",
                f"{median('one', name, 'wall_s'):.2f}",
                f"{median('one', name, 'peak_mb'):.0f}",
                f"{cpu / ours:.1f}",
                f"{median('latency', name, 'wall_s'):.2f}",
                f"{median('many', name, 'cpu_s'):.2f}",
                requests,
            ]
        )
    return "\n".join(map(row, lines))


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(markdown(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))))
