"""`llm-mux usage --exchanges`: the rows of the books, newest first, as a table, JSON or CSV.

Rule: read a page at a time, and JSON and CSV are printed as they come: all rows of a month fit through a pipe.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import click

from llm_mux.cli.client import caught_up
from llm_mux.cli.invocation import Invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.ledger.database import Database
    from llm_mux.ledger.entries import Outcome, Wanted
    from llm_mux.ledger.report import Only
    from llm_mux.server.usage_rows import Row

Form = Literal["table", "json", "csv"]
_PAGE = 2000


class _Form(Protocol):
    """Called with a page of rows after another, then ended."""

    def __call__(self, rows: Sequence[Row]) -> None: ...

    def end(self) -> None: ...


def show(
    invocation: Invocation, first: date, last: date, only: Only, outcome: Outcome | None, most: int, form: Form
) -> None:
    """Print at most so many rows, 0: all."""
    from llm_mux.ledger.entries import Wanted

    wanted = Wanted(first=first, last=last, only=only, outcome=outcome)
    forms: dict[Form, Callable[[], _Form]] = {"table": _Table, "json": _Json, "csv": _Csv}
    write = forms[form]()
    caught_up()
    with_database(invocation, lambda database: _read(database, wanted, most, write))
    write.end()


async def _read(database: Database, wanted: Wanted, most: int, write: Callable[[Sequence[Row]], None]) -> None:
    from msgspec.structs import replace

    from llm_mux.ledger.entries import entries
    from llm_mux.server.usage_rows import told

    left = most or sys.maxsize
    while left > 0:
        size = min(left, _PAGE)
        found = await entries(database, wanted, size)
        write([told(entry) for entry in found])
        if len(found) < size:
            return
        left -= size
        wanted = replace(wanted, before=found[-1].id)


class _Json:
    """A list, an element a line."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, rows: Sequence[Row]) -> None:
        import msgspec

        for row in rows:
            click.echo(f"{',' if self._count else '['}\n  {json.dumps(msgspec.to_builtins(row))}", nl=False)
            self._count += 1

    def end(self) -> None:
        click.echo("\n]" if self._count else "[]")


class _Csv:
    """The names of the columns, and a line for each row."""

    def __init__(self) -> None:
        from llm_mux.server.usage_rows import Row

        self._lines = csv.writer(sys.stdout, lineterminator="\n")
        self._lines.writerow(Row.__struct_fields__)

    def __call__(self, rows: Sequence[Row]) -> None:
        from msgspec.structs import astuple

        from llm_mux.server.usage_csv import cell

        self._lines.writerows([cell(value) for value in astuple(row)] for row in rows)

    def end(self) -> None:
        """All is printed."""


class _Table:
    """What a person looks for; the rest is in JSON and CSV."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __call__(self, rows: Sequence[Row]) -> None:
        self._rows += rows

    def end(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        if not self._rows:
            click.echo("no exchange of these days is in the books")
            return
        console = Console(highlight=False)
        table = Table(box=None, pad_edge=False)
        columns = [each for each in _COLUMNS if each.always or console.width >= _WIDE]
        for column in columns:
            figure = column.figure
            table.add_column(
                column.title, justify="right" if figure else "left", no_wrap=figure or column.title == "time"
            )
        for row in self._rows:
            table.add_row(*(Text(clean(column.cell(row)), overflow="fold") for column in columns))
        console.print(table)


class _Column(NamedTuple):
    """Not `always`: only where there is room."""

    title: str
    cell: Callable[[Row], str]
    figure: bool = False
    always: bool = True


def _ended(row: Row) -> str:
    return (row.stop_reason or str(row.status)) if row.error_kind is None else f"{row.status} {row.error_kind}"


def _account(row: Row) -> str:
    return f"{row.provider}/{row.account}" if row.account else row.provider or ""


def _prompt(row: Row) -> int:
    return row.input_tokens + row.cache_read_tokens + row.cache_write_tokens


def _count(tokens: int) -> str:
    return f"{tokens:,}" if tokens else ""


def _dollars(cost: str | None, tokens: int) -> str:
    if cost is None:
        return "?" if tokens else ""
    return f"${float(cost):.6f}".rstrip("0").rstrip(".")


_WIDE = 110
_COLUMNS = (
    # The year goes without saying: rows are not kept for that long.
    _Column("time", lambda row: row.time[5:19].replace("T", " ")),
    _Column("who", lambda row: row.user or row.client_key or ""),
    _Column("model", lambda row: row.model_served or row.model_asked),
    _Column("account", _account, always=False),
    _Column("ended", _ended),
    _Column("input", lambda row: _count(_prompt(row)), figure=True),
    _Column("output", lambda row: _count(row.output_tokens), figure=True),
    _Column("cost", lambda row: _dollars(row.cost, _prompt(row) + row.output_tokens), figure=True),
    _Column("seconds", lambda row: f"{row.duration_ms / 1000:.2f}", figure=True, always=False),
)
