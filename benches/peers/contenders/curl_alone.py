"""curl, 16 transfers at once, nothing made of the answers: how fast the simulator is at least."""

import curl
import task


def main() -> None:
    given = task.given()
    curl.fetch(given, curl.first_pages(given), given.out)
    curl.fetch(given, curl.later_pages(given, given.out), None)


main()
