"""`llm-mux usage`: what the books add up to, as tables and a chart, JSON or CSV.

Rule: the database is read directly, so no daemon need run; one that does writes first what has just ended. Costs are
exact; the chart is not.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from llm_mux.cli.client import caught_up
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from llm_mux.ledger.entries import Outcome
    from llm_mux.ledger.report import Line, Only
    from llm_mux.server.usage import Question

_GROUPS = ("day", "hour", "model", "account", "provider", "key", "user", "protocol")
_BAR = 32
_BESIDE = 72
"""Cells that the other columns take; where they leave less, the bar is shorter."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command(
    epilog="\b\nExamples:\n  llm-mux usage --days 7\n"
    "  llm-mux usage --by model --by account\n"
    "  llm-mux usage --from 2026-11-01 --to 2026-11-30 --csv\n"
    "  llm-mux usage --exchanges --user ada --outcome failed"
)
@click.option("--by", "groups", multiple=True, type=click.Choice(_GROUPS), help="Groups; left out: day and model.")
@click.option("--days", type=click.IntRange(1, 3660), metavar="N", help="The last N days, today included (30).")
@click.option("--from", "first", metavar="DATE", help="From this day on (UTC).")
@click.option("--to", "last", metavar="DATE", help="Up to this day, included.")
@click.option("--model", help="Only this model.")
@click.option("--provider", help="Only this provider.")
@click.option("--account", help="Only the accounts of this label.")
@click.option("--key", "client_key", help="Only this client key.")
@click.option("--user", help="Only this user.")
@click.option("--exchanges", "each", is_flag=True, help="One line for each exchange, newest first.")
@click.option("--outcome", type=click.Choice(("ok", "failed", "cancelled")), help="Only exchanges that ended so.")
@click.option("-n", "--limit", type=click.IntRange(min=0), help="How many exchanges (50); 0: all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@pass_invocation
def usage(
    invocation: Invocation,
    /,
    groups: Sequence[str],
    days: int | None,
    first: str | None,
    last: str | None,
    each: bool,
    outcome: Outcome | None,
    limit: int | None,
    as_json: bool,
    as_csv: bool,
    **only: str | None,
) -> None:
    """Show requests, tokens and cost.

    A table for each --by; left out, by day and by model. With --exchanges what they are made of.
    """
    from llm_mux.ledger.report import Only

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if each and groups:
        raise click.UsageError("--exchanges and --by exclude each other")
    if not each and (outcome is not None or limit is not None):
        raise click.UsageError("--outcome and --limit are for --exchanges")
    query = {"days": None if days is None else str(days), "from": first, "to": last}
    if each:
        from llm_mux.cli.exchanges import Form, show

        asked = _question({**query, "group_by": "day"})
        form: Form = "json" if as_json else "csv" if as_csv else "table"
        show(invocation, asked.first, asked.last, Only(**only), outcome, 50 if limit is None else limit, form)
        return
    questions = [_question({**query, "group_by": group}) for group in groups or ("day", "model")]
    caught_up()
    reports, total = with_database(invocation, lambda database: _read(database, questions, Only(**only)))
    if as_json:
        click.echo(json.dumps(_as_json(questions, reports, total), indent=2))
    elif as_csv:
        _print_csv(questions, reports)
    else:
        _show(questions, reports, total)


def _question(query: dict[str, str | None]) -> Question:
    from llm_mux.errors import MuxError
    from llm_mux.server.described import read
    from llm_mux.server.usage import Asked, question, today

    try:
        asked = read({name: value for name, value in query.items() if value is not None}, Asked)
        return question(asked, today())
    except MuxError as error:
        raise click.UsageError(clean(error.message)) from error


async def _read(database: Any, questions: Sequence[Question], only: Only) -> tuple[list[list[Line]], Line | None]:
    from llm_mux.ledger.report import usages

    groups = [*(question.group_by for question in questions), None]
    *reports, total = await usages(database, groups, questions[0].first, questions[0].last, only)
    return reports, total[0] if total else None


def _as_json(questions: Sequence[Question], reports: Sequence[Sequence[Line]], total: Line | None) -> dict[str, Any]:
    import msgspec

    from llm_mux.server.usage import told

    return {
        "from": questions[0].first.isoformat(),
        "to": questions[0].last.isoformat(),
        "currency": "USD",
        **{
            question.group_by: [msgspec.to_builtins(told(line)) for line in lines]
            for question, lines in zip(questions, reports, strict=True)
        },
        "total": None if total is None else msgspec.to_builtins(told(total)),
    }


def _print_csv(questions: Sequence[Question], reports: Sequence[Sequence[Line]]) -> None:
    """One table: the group in the first column, so that several fit."""
    import msgspec

    from llm_mux.server.usage import told

    rows = [
        {"group": question.group_by, **msgspec.structs.asdict(told(line))}
        for question, lines in zip(questions, reports, strict=True)
        for line in lines
    ]
    if not rows:
        raise Failure("nothing was used in these days")
    writer = csv.DictWriter(sys.stdout, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    # A name that begins like a formula would be one to a spreadsheet.
    writer.writerows({**row, "name": _harmless(str(row["name"]))} for row in rows)


def _harmless(name: str) -> str:
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name


def _show(questions: Sequence[Question], reports: Sequence[Sequence[Line]], total: Line | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    first, last = questions[0].first, questions[0].last
    days = first.isoformat() if first == last else f"{first} to {last}"
    if total is None:
        console.print(f"nothing was used from {days}" if first != last else f"nothing was used on {days}")
        return
    for question, lines in zip(questions, reports, strict=True):
        console.print(_table(question, lines, total, console))
        console.print()
    console.print(f"{days}: {_said(total)}")


def _said(total: Line) -> str:
    words = [f"{total.requests:,} requests", f"{total.tokens:,} tokens", _money(total)]
    if total.failures:
        words.append(f"{total.failures:,} failed")
    if total.unpriced:
        words.append(f"{total.unpriced:,} without a known price")
    return ", ".join(words)


def _table(question: Question, lines: Sequence[Line], total: Line, console: Console) -> Table:
    from rich.table import Table
    from rich.text import Text

    ordered = lines if question.group_by in ("day", "hour") else sorted(lines, key=_weight, reverse=True)
    wide = console.width >= 110
    table = Table(box=None, pad_edge=False)
    table.add_column(question.group_by.replace("client_", ""), overflow="fold")
    for title in ("requests", "failed", "input", "cached", "output", "cost"):
        table.add_column(title, justify="right")
    if wide:
        table.add_column("ttft", justify="right")
    table.add_column("" if total.cost else "tokens")
    width = max(min(console.width - _BESIDE, _BAR), _BAR // 4)
    most = max((_share(line, total) for line in ordered), default=0.0)
    for line in ordered:
        cells = [
            clean(line.name) or "-",
            f"{line.requests:,}",
            f"{line.failures:,}" if line.failures else "",
            _tokens(line.input_tokens + line.cache_write_tokens),
            _tokens(line.cache_read_tokens),
            _tokens(line.output_tokens),
            _money(line),
            *([f"{line.ttft_ms / 1000:.2f} s" if line.ttft_ms is not None else ""] if wide else []),
        ]
        table.add_row(*(Text(cell) for cell in cells), Text(bar(_share(line, total), most, width), style="cyan"))
    return table


def _weight(line: Line) -> tuple[Any, ...]:
    return line.cost or 0, line.tokens, line.requests


def _share(line: Line, total: Line) -> float:
    """What the bar shows: the cost where there is one, else tokens."""
    return float(line.cost or 0) if total.cost else float(line.tokens)


def bar(value: float, most: float, width: int = _BAR) -> str:
    """A bar of `width` cells for the most, in steps of an eighth."""
    eighths = round(width * 8 * value / most) if most > 0 else 0
    if value > 0:
        eighths = max(eighths, 1)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _tokens(count: int) -> str:
    """12345 as 12.3k."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count) if count else ""


def _money(line: Line) -> str:
    if line.cost is None:
        return "?"
    if not line.cost:
        return "$0"
    return f"${line.cost:,.2f}" if line.cost >= 1 else f"${line.cost:.4f}"
