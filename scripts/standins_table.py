"""Prints docs/standins.md: every promise of four other gateways, and the tests that hold it here.

Run as `python -m scripts.standins_table`.
"""

from __future__ import annotations

import importlib
import inspect
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.standins.documents import LINES, TITLES, Line

FOLDER = pathlib.Path(__file__).parents[1] / "tests" / "standins"
INTRODUCTION = """\
# Standing in for other gateways

Written by `make docs` from the tests in `tests/standins`; a test compares this page with them. A client that was
written for one of these systems works when it is pointed at `localhost:8317`; where the daemon knowingly does something
in another way, the table says so.
"""


def tests() -> Mapping[str, list[str]]:
    """Line key to the sentences of the tests that hold it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"tests.standins.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            for mark in getattr(function, "pytestmark", ()):
                if mark.name == "stands_in":
                    for key in mark.args:
                        found[str(key)].append(f"{path.stem}.{name}")
    return found


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_tables(tests())]).rstrip() + "\n"


def _tables(found: Mapping[str, list[str]]) -> Iterator[str]:
    for document, title in TITLES.items():
        yield f"## {document}: {title}\n"
        yield "| promise | here | held by |\n|---|---|---|"
        yield from (_row(line, found[line.key]) for line in LINES if line.document == document)
        yield ""


def _row(line: Line, held: list[str]) -> str:
    sentences = "; ".join(name.partition(".test_")[2].replace("_", " ") for name in held)
    return f"| {line.promise} | {line.otherwise or 'the same'} | {sentences} |"


if __name__ == "__main__":
    sys.stdout.write(page())
