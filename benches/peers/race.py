"""Contenders in turn against one simulator, each run measured and its rows checked."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import measured
from lineup import Contender, Stage
from simulator import Simulator, World

HERE = pathlib.Path(__file__).parent


@dataclass(frozen=True)
class Truth:
    """The records of a world on the disk, and what must come out."""

    records: pathlib.Path
    figures: Mapping[str, int]


@dataclass
class Result:
    """What the runs of one contender came to."""

    name: str
    runs: list[dict] = field(default_factory=list)
    rows: str = "-"

    @property
    def is_right(self) -> bool:
        return not self.rows.startswith("WRONG")

    def median(self, figure: str) -> float:
        return statistics.median(run[figure] for run in self.runs)

    def total(self, figure: str) -> float:
        return sum(run[figure] for run in self.runs)


class Track:
    """Where races are run: the binary, and a folder for what comes out."""

    def __init__(self, rollbook: pathlib.Path, folder: pathlib.Path) -> None:
        self.rollbook = rollbook
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def simulator(self, world: World, **options: object) -> Simulator:
        return Simulator(self.rollbook, world, self.folder, **options)

    def truth(self, world: World) -> Truth:
        """Read from a simulator of its own, without latency."""
        path = self.folder / f"{world.meetings}-of-{world.records}.ndjson"
        with self.simulator(world) as simulator:
            arguments = [simulator.base_url, simulator.list, path]
            return Truth(path, told("truth.py", arguments, environment(simulator)))

    def start_up(self, contenders: Sequence[Contender], runs: int) -> list[Result]:
        """What contenders cost when there is nothing to export."""
        nothing = self.folder / "nothing.ndjson"
        nothing.write_bytes(b"")
        unchecked = [replace(contender, files=None) for contender in contenders]
        with self.simulator(World(1, 0)) as simulator:
            return self.race(unchecked, simulator, Truth(nothing, {}), runs)

    def stage(self, contender: Contender, simulator: Simulator, truth: Truth) -> Stage:
        out = self.folder / "".join(c if c.isalnum() else "-" for c in contender.name)
        return Stage(self.rollbook, simulator, out, truth.records)

    def run(self, contender: Contender, stage: Stage) -> measured.Running:
        stage.out.mkdir(parents=True, exist_ok=True)
        log = stage.out.with_suffix(".log")
        return measured.Running(contender.command(stage), environment(stage.simulator), log)

    def once(self, contender: Contender, simulator: Simulator, truth: Truth) -> dict:
        """One run into an empty folder."""
        stage = self.stage(contender, simulator, truth)
        shutil.rmtree(stage.out, ignore_errors=True)
        machine, served = measured.machine_cpu(), simulator.cpu()
        cost = self.run(contender, stage).cost()
        served = simulator.cpu() - served
        machine = measured.machine_cpu() - machine
        return asdict(cost) | {
            "simulator_cpu_s": served,
            "foreign_cpu_s": max(0.0, machine - served - cost.cpu_s),
        }

    def race(
        self, contenders: Sequence[Contender], simulator: Simulator, truth: Truth, runs: int
    ) -> list[Result]:
        """Round by round, so that what disturbs the machine disturbs all."""
        results = {contender.name: Result(contender.name) for contender in contenders}
        # Its pages are rendered once, and not on anybody's account.
        self.once(contenders[0], simulator, truth)
        for turn in range(runs):
            for contender in contenders:
                if turn < contender.most_runs:
                    result = results[contender.name]
                    result.runs.append(self.once(contender, simulator, truth))
                    result.rows = self.checked(contender, simulator, truth, result)
                    note(f"  {turn + 1}/{runs} {contender.name}: rows {result.rows}")
        return list(results.values())

    def checked(
        self, contender: Contender, simulator: Simulator, truth: Truth, result: Result
    ) -> str:
        """What there is to say of the rows that the last run left."""
        code = result.runs[-1]["code"]
        if not result.is_right:
            return result.rows
        if code:
            return f"WRONG: exit code {code}"
        if contender.files is None:
            return "-"
        left = self.left(contender, self.stage(contender, simulator, truth))
        if left == truth.figures:
            return "right"
        return f"WRONG: {left}"

    def left(self, contender: Contender, stage: Stage) -> dict | None:
        """The figures of the rows that are there for a reader."""
        return told("digest.py", [stage.out / contender.files, contender.columns], os.environ)


def told(name: str, arguments: Sequence[object], environment: Mapping[str, str]) -> dict | None:
    """The answer of a script beside this one."""
    command = [sys.executable, HERE / name, *arguments]
    said = subprocess.run(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(said.stdout)


def environment(simulator: Simulator) -> dict[str, str]:
    """For contenders: no proxy, no settings of somebody's own, and the simulator's token."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and not name.startswith("ROLLBOOK_")
    }
    return kept | {"ROLLBOOK_ACCESS_TOKEN": simulator.token, "PYTHONDONTWRITEBYTECODE": "1"}


def note(text: str) -> None:
    """What is going on, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
