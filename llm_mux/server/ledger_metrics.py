"""What `/metrics` tells about the books themselves: rows that wait, that were written and that were lost."""

from __future__ import annotations

from llm_mux.ledger.writer import Writer
from llm_mux.server.metrics import Reading


def of_the_ledger(writer: Writer) -> list[Reading]:
    """Read at each scrape."""
    return [
        Reading(
            "llm_mux_ledger_rows_waiting",
            "Rows not yet in the database",
            lambda: {(): writer.state.waiting},
            added=True,
        ),
        Reading(
            "llm_mux_ledger_rows_written",
            "Rows written to the database",
            lambda: {(): writer.state.written + writer.state.replayed},
            kind="counter",
        ),
        Reading(
            "llm_mux_ledger_rows_lost",
            "Rows that neither memory nor disk had room for, or that no column took",
            lambda: {(): max(writer.state.dropped, 0) + writer.state.rejected},
            kind="counter",
        ),
    ]
