"""rollbook and its peers on the same work: the table of the README.

Each scenario starts `rollbook simulate` as a process of its own; contenders run against it in
turn, and the rows of each run are compared with the simulator's records. CPU and memory are those
of a contender's whole tree of processes, the simulator's apart.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

import table
import targets
from killed import Second, killed
from lineup import CURL_ALONE, PEERS, READ_JSON, ROLLBOOK, ROLLBOOK_UNDER_A_RATE, Contender
from race import Result, Track, note
from simulator import World

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Scenario:
    """What is done with whom, and what it is called."""

    title: str
    world: World
    quick: World
    contenders: list[Contender]
    latency: str = "0s"


SCENARIOS = {
    "one": Scenario(
        "one meeting, no latency",
        World(1, 1_000_000),
        World(1, 10_000),
        [ROLLBOOK, *PEERS, READ_JSON, CURL_ALONE],
    ),
    "latency": Scenario(
        "one meeting, 50 ms before each answer",
        World(1, 100_000),
        World(1, 10_000),
        [ROLLBOOK, *PEERS],
        latency="50ms",
    ),
    "many": Scenario(
        "many meetings of 150 records, no latency",
        World(2_000, 150),
        World(66, 150),
        [ROLLBOOK, *PEERS],
    ),
    "killed": Scenario(
        "one meeting, killed half-way and run again",
        World(1, 100_000),
        World(1, 10_000),
        [ROLLBOOK, ROLLBOOK_UNDER_A_RATE, *PEERS],
    ),
}


def main() -> int:
    arguments = parsed()
    rollbook = (arguments.rollbook or built()).resolve()
    track = Track(rollbook, arguments.home / "runs")
    record = {"machine": machine(rollbook), "quick": arguments.quick}
    print(f"{record['machine']['rollbook']}; {record['machine']['cpu']}, {CORES} cores")
    is_right = True
    for name in arguments.only:
        scenario = SCENARIOS[name]
        world = scenario.quick if arguments.quick else scenario.world
        note(f"{name}: {scenario.title}")
        print(f"\n{scenario.title}: {world.total:,} records in {world.meetings:,}\n", flush=True)
        if name == "killed":
            results = run_again(track, scenario, world, arguments.quick)
            record[name] = [asdict(result) for result in results]
        else:
            results = raced(track, scenario, world, arguments.runs)
            record[name] = [asdict(result) for result in results]
        if name == "one" and not arguments.quick:
            record["targets"] = reached(track, results, arguments.runs)
        is_right &= all(result.is_right for result in results)
        # After each scenario, so that a long run that is stopped was not for nothing.
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(
        "\nMedians. x: how many times what rollbook took. The simulator works on the same"
        f" {CORES} cores: where those are few,\ncompare CPU, not wall. All figures:"
        f" {arguments.json}"
    )
    if not is_right:
        print(f"what went wrong is in {track.folder}")
        return 1
    shutil.rmtree(track.folder)
    return 0


def raced(track: Track, scenario: Scenario, world: World, runs: int) -> list[Result]:
    truth = track.truth(world)
    with track.simulator(world, latency=scenario.latency) as simulator:
        results = track.race(scenario.contenders, simulator, truth, runs)
    print(table.of_race(results, world.total))
    print(f"\nothers used {table.foreign_share(results, CORES):.0%} of the machine meanwhile")
    print(table.of_simulator(results, world.total), flush=True)
    return results


def run_again(track: Track, scenario: Scenario, world: World, is_quick: bool) -> list[Second]:
    truth = track.truth(world)
    silence = 0.5 if is_quick else 1.0
    seconds = [killed(track, one, world, truth, silence) for one in scenario.contenders]
    print(table.of_killed(seconds), flush=True)
    return seconds


def reached(track: Track, results: list[Result], runs: int) -> dict:
    """The targets, from the race over the one large meeting."""
    start_up = track.start_up(targets.CONTENDERS, runs)
    all_of_them = targets.targets(results, start_up)
    print(f"\n{targets.text(all_of_them)}", flush=True)
    return {
        "start_up": [asdict(result) for result in start_up],
        "reached": [asdict(target) | {"is_met": target.is_met} for target in all_of_them],
    }


def parsed() -> argparse.Namespace:
    names = list(SCENARIOS)
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    parser.add_argument("--home", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--rollbook", type=pathlib.Path, metavar="PATH", help="the binary [default: built here]"
    )
    parser.add_argument(
        "--runs", type=int, default=None, help="at most, of each [default: 5; slow ones fewer]"
    )
    parser.add_argument("--quick", action="store_true", help="10,000 records and one run")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all figures")
    arguments = parser.parse_args()
    arguments.runs = arguments.runs or (1 if arguments.quick else 5)
    arguments.json = arguments.json or arguments.home / "figures.json"
    return arguments


def built() -> pathlib.Path:
    """The release binary of this source."""
    manifest = ["--manifest-path", ROOT / "Cargo.toml"]
    subprocess.run(["cargo", "build", "--release", "--locked", *manifest], check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / "release" / "rollbook"


def machine(rollbook: pathlib.Path) -> dict[str, str]:
    """What the figures hold for."""
    version = subprocess.run([rollbook, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    models = [
        line.partition(": ")[2]
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "rollbook": version.stdout.strip(),
        "cpu": models[0] if models else platform.machine(),
        "cores": str(CORES),
        "python": platform.python_version(),
    }


sys.exit(main())
