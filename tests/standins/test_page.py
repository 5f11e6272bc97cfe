"""Every line of the documents has a test, and the page says which."""

from __future__ import annotations

import pathlib

from scripts import standins_table
from tests.standins.documents import LINES

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "standins.md"


def test_every_line_is_held_and_no_test_holds_one_that_is_not_there() -> None:
    keys = [line.key for line in LINES]
    assert len(set(keys)) == len(keys)
    assert set(standins_table.tests()) == set(keys)


def test_the_page_is_what_the_tests_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == standins_table.page()
