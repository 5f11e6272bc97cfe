"""Usage and cost: the books as figures, as a chart, as a table and as a file."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import expect

from llm_mux.ledger import insert
from llm_mux.ledger.spool import Piece
from llm_mux.server.serving import DAEMON
from tests.dashboard.conftest import Seen
from tests.rows import row_of
from tests.server.management import Managed

DAY = 86_400.0
PRICE = 10**12


async def keep_books(mux: Managed, *rows: tuple[float, str, str, str | None, int]) -> None:
    """Rows of (days ago, model, account, client key, dollars) with 1000 tokens in and 100 out each."""
    now = time.time()
    made = [
        row_of(
            time=now - days * DAY,
            request_id=f"req_{number}",
            client_key=key,
            protocol="anthropic",
            model_asked=model,
            model_served=model,
            provider=account.split("/")[0],
            account=account.split("/")[1],
            attempts=1,
            status=200,
            input_tokens=1000,
            output_tokens=100,
            ttft_ms=500.0,
            duration_ms=2000.0,
            cost=dollars * PRICE,
            price_source="test",
        )
        for number, (days, model, account, key, dollars) in enumerate(sorted(rows, reverse=True))
    ]
    database = mux.app[DAEMON].parts.database
    await database.run(lambda books: insert.write(books, "test", [Piece(n, row) for n, row in enumerate(made, 1)], now))


ROWS = (
    (0, "opus", "claude/work", "laptop", 6),
    (2, "opus", "claude/work", "laptop", 5),
    (2, "flash", "gemini/main", "ci", 1),
    (20, "flash", "gemini/main", None, 2),
    (60, "flash", "gemini/main", None, 40),
)


async def test_figures_chart_and_table_agree_with_the_books(visit: Seen) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS)
        await seen.open("usage")
        await expect(seen.page.locator(".tiles")).to_contain_text("Cost$14.00")
        await expect(seen.page.locator(".tiles")).to_contain_text("Requests4")
        await expect(seen.row("opus")).to_contain_text("$11.00")
        await expect(seen.row("flash")).to_contain_text("$3.00")
        assert await seen.page.locator(".legend li").all_text_contents() == ["opus", "flash"]
        await seen.page.get_by_text("90 days").click()
        await expect(seen.page.locator(".tiles")).to_contain_text("Cost$54.00")
        assert await seen.page.locator(".legend li").all_text_contents() == ["flash", "opus"]


async def test_the_chart_is_read_with_the_arrow_keys(visit: Seen) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS)
        await seen.open("usage")
        await seen.page.locator(".chart svg").focus()
        await seen.page.keyboard.press("End")
        tip = seen.page.locator(".chart .tip")
        await expect(tip).to_contain_text("All$6.00")
        await expect(tip).to_contain_text(datetime.now(UTC).strftime("%a"))
        await seen.page.keyboard.press("ArrowLeft")
        await seen.page.keyboard.press("ArrowLeft")
        await expect(tip).to_contain_text("opus$5.00")
        await expect(tip).to_contain_text("flash$1.00")


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("account", {"claude/work": "$11.00", "gemini/main": "$3.00"}),
        ("client_key", {"laptop": "$11.00", "ci": "$1.00", "no key": "$2.00"}),
        ("provider", {"claude": "$11.00", "gemini": "$3.00"}),
    ],
)
async def test_it_is_told_by_account_key_and_provider_too(visit: Seen, group: str, names: dict[str, str]) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS)
        await seen.open("usage")
        await seen.page.get_by_label("By", exact=True).select_option(group)
        for name, cost in names.items():
            await expect(seen.row(name)).to_contain_text(cost)


async def test_tokens_and_requests_instead_of_cost_and_one_day_by_the_hour(visit: Seen) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS)
        await seen.open("usage")
        await seen.page.get_by_text("Tokens", exact=True).last.click()
        await expect(seen.page.locator("main h2").first).to_have_text("Tokens by day and model")
        await seen.page.get_by_text("Today").click()
        await expect(seen.page.locator("main h2").first).to_have_text("Tokens by hour and model")
        await seen.page.locator(".chart svg").focus()
        await seen.page.keyboard.press("Home")
        for _ in range(datetime.now(UTC).hour):
            await seen.page.keyboard.press("ArrowRight")
        await expect(seen.page.locator(".chart .tip")).to_contain_text("opus1,100")


async def test_the_file_has_what_the_table_has_and_no_cell_is_a_formula(visit: Seen, tmp_path: Path) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS, (1, '=HYPERLINK("http://x")', "claude/work", None, 3))
        await seen.open("usage")
        async with seen.page.expect_download() as download:
            await seen.button("CSV").click()
        file = await (await download.value).path()
        found = {row["model"]: row for row in csv.DictReader(io.StringIO(Path(file).read_text(encoding="utf-8")))}
        assert (float(found["opus"]["cost"]), found["opus"]["requests"]) == (11, "2")
        assert set(found) == {"opus", "flash", '\'=HYPERLINK("http://x")'}


async def test_days_of_ones_own_are_both_included(visit: Seen) -> None:
    async with visit("home") as seen:
        await keep_books(seen.mux, *ROWS)
        await seen.open("usage")
        await seen.page.get_by_text("Dates", exact=True).click()
        day = datetime.fromtimestamp(time.time() - 2 * DAY, UTC).date().isoformat()
        await seen.page.get_by_label("From").fill(day)
        await seen.page.get_by_label("To", exact=True).fill(day)
        await expect(seen.page.locator(".tiles")).to_contain_text("Cost$6.00")
