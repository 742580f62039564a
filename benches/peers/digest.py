"""What a contender left, in three figures that do not depend on the order of the rows.

    digest.py GLOB COLUMNS

Prints the number of rows, the sum of all stays, and the sum of a hash over all members of each row,
as JSON; or `null` where there is no file, or `{"error": ...}` where one cannot be read. COLUMNS are
expressions of SQL for the meeting, the five texts and the two times in milliseconds.
"""

import glob
import json
import sys

import duckdb


def of(source: str, columns: str) -> dict[str, int]:
    """The figures of what can be selected from a source."""
    names = "uuid, name, number, device, media, dept, joined, gone"
    [row] = duckdb.execute(
        f"""
        SELECT count(*), sum(gone::BIGINT - joined::BIGINT), sum(hash({names}))
        FROM (SELECT {columns} FROM {source}) AS record({names})
        """
    ).fetchall()
    return dict(zip(("rows", "stayed_ms", "hash"), (int(figure or 0) for figure in row)))


def main() -> None:
    pattern, columns = sys.argv[1:]
    answer = None
    if glob.glob(pattern, recursive=True):
        try:
            answer = of(f"read_parquet('{pattern}')", columns)
        except duckdb.Error as error:
            answer = {"error": str(error).splitlines()[0]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
