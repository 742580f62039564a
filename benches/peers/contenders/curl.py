"""Pages by curl, 16 transfers at once."""

import json
import pathlib
import subprocess

import task

# Of which meeting, at which offset.
Page = tuple[str, int]


def first_pages(given: task.Task) -> list[Page]:
    return [(meeting, 0) for meeting in given.meetings]


def later_pages(given: task.Task, folder: pathlib.Path) -> list[Page]:
    """All other pages, by the counts that the first ones tell."""
    later = []
    for meeting in given.meetings:
        count = json.loads((folder / f"{meeting}-0.json").read_bytes())["count"]
        later += [(meeting, offset) for offset in range(task.PAGE, count, task.PAGE)]
    return later


def fetch(given: task.Task, pages: list[Page], folder: pathlib.Path | None) -> None:
    """The pages into files called MEETING-OFFSET.json; without a folder, into the void."""
    if not pages:
        return
    options = ["parallel", f"parallel-max = {task.AT_ONCE}"]
    options += ["no-progress-meter", "silent", "show-error", "fail"]
    options += [f'header = "{name}: {value}"' for name, value in given.headers.items()]
    for meeting, offset in pages:
        output = folder / f"{meeting}-{offset}.json" if folder else "/dev/null"
        options += [f'url = "{given.url(meeting, offset)}"', f'output = "{output}"']
    # Not as arguments: they would show the token.
    subprocess.run(["curl", "--config", "-"], input="\n".join(options), text=True, check=True)
