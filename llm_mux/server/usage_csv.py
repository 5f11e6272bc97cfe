"""What is told of the books as CSV, for spreadsheets.

Rule: a text that a spreadsheet would run as a formula stays a text: it gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from llm_mux.server.usage import Report, Sums
from llm_mux.server.usage_rows import Row

MEDIA = "text/csv"
_FIGURES = tuple(name for name in Sums.__struct_fields__ if name not in ("name", "then"))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def written(report: Report, then_by: str | None) -> str:
    """One line a group, the cost in US dollars; the first line has the names of the columns."""
    text = io.StringIO()
    lines = csv.writer(text)
    parts = [] if then_by is None else ["then"]
    lines.writerow([report.group_by, *([] if then_by is None else [then_by]), *_FIGURES])
    for line in report.data:
        lines.writerow([cell(getattr(line, name)) for name in ("name", *parts, *_FIGURES)])
    return text.getvalue()


def rows(found: Sequence[Row]) -> str:
    """One line a row; the first line has the names of the columns."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(Row.__struct_fields__)
    lines.writerows([cell(value) for value in astuple(row)] for row in found)
    return text.getvalue()


def file_name(report: Report) -> str:
    return f"usage-{report.first}-{report.to}-by-{report.group_by}.csv"


def cell(value: Any) -> Any:
    """A value as its cell has it."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _number(value):
        return f"'{value}"
    return value


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
