"""Live traffic: requests as they happen, who served them, how fast, after how many tries; and that text stays text."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from llm_mux.server.serving import DAEMON
from tests.dashboard.conftest import Seen
from tests.server.management import Managed

EVIL = '<img src=x onerror="window.hit=1"><b>bold</b>'


async def ask(mux: Managed, model: str, *, stream: bool = False) -> int:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three four five six"}]}
    async with mux.bare.post("/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status


async def test_a_request_is_there_while_it_is_answered_and_says_what_it_took_when_it_is_over(visit: Seen) -> None:
    async with visit("live") as seen:
        await seen.says("No request yet").to_be_visible()
        running = asyncio.create_task(ask(seen.mux, "demo-slow", stream=True))
        row = seen.row("demo-slow")
        await expect(row).to_contain_text("answering")
        assert await running == 200
        await expect(row).to_contain_text("200")
        for label, pattern in (
            ("First token", "ms|s"),
            ("Tokens in / out", r"\d+ / \d+"),
            ("Tokens in / out", "tok/s"),
        ):
            await expect(row.locator(f"td[data-label='{label}']")).to_contain_text(_like(pattern))
        await expect(row.locator("td[data-label='Served by']")).to_contain_text("demo/")
        await expect(seen.page.locator(".tiles")).to_contain_text("Last minute1")


def _like(pattern: str) -> object:
    import re

    return re.compile(pattern)


async def test_failures_and_retries_are_told_and_can_be_singled_out(visit: Seen) -> None:
    config = {"request-retry": 0, "fallbacks": {"demo-500": ["demo"]}}
    async with visit("live", config) as seen:
        assert [await ask(seen.mux, model) for model in ("demo", "demo-429", "demo-500")] == [200, 429, 200]
        await expect(seen.page.locator("main tbody tr")).to_have_count(3)
        await seen.page.get_by_text("Retried", exact=True).click()
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)
        await seen.page.get_by_text("2 attempts").click()
        await seen.says("demo/demo demo-500").to_be_visible()
        await seen.page.get_by_text("Failed", exact=True).click()
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)
        await expect(seen.row("demo-429")).to_contain_text("429")
        await seen.page.get_by_text("All", exact=True).click()
        await seen.page.get_by_label("Filter").fill("500")
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)


async def test_what_a_client_calls_a_model_is_shown_as_text_everywhere(visit: Seen) -> None:
    async with visit("live") as seen:
        assert await ask(seen.mux, EVIL) == 404
        await expect(seen.row("onerror")).to_contain_text(EVIL)
        for page in ("inspector", "logs", "live", "usage", ""):
            await seen.open(page)
            assert await seen.page.evaluate(
                "[window.hit ?? 0, document.querySelectorAll('main img, main b b').length]"
            ) == [0, 0]
        await seen.open("inspector")
        await seen.row("onerror").click()
        await expect(seen.page.locator("main h1")).to_have_text(EVIL)


async def test_paused_it_stands_still_and_goes_on_with_all_that_happened(visit: Seen) -> None:
    async with visit("live") as seen:
        assert await ask(seen.mux, "demo") == 200
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)
        await seen.button("Pause").click()
        assert await ask(seen.mux, "demo-thinking") == 200
        await expect(seen.page.locator(".tiles")).to_contain_text("Last minute2")
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)
        await seen.button("Go on").click()
        await expect(seen.page.locator("main tbody tr")).to_have_count(2)


async def test_one_is_chosen_by_keyboard_and_opens_in_the_inspector(visit: Seen) -> None:
    async with visit("live") as seen:
        assert await ask(seen.mux, "demo") == 200
        await seen.row("demo").get_by_role("link").focus()
        await seen.page.keyboard.press("Enter")
        await seen.page.wait_for_selector("main[data-page=inspector][data-ready]")
        await expect(seen.page.locator("main h1")).to_have_text("demo")


async def test_many_at_once_are_all_counted_and_the_list_stays_bounded(visit: Seen) -> None:
    async with visit("live") as seen:
        for _ in range(6):
            assert set(await asyncio.gather(*(ask(seen.mux, "demo") for _ in range(40)))) == {200}
        await expect(seen.page.locator(".tiles")).to_contain_text("Last minute240")
        await expect(seen.page.locator("main tbody tr")).to_have_count(200)


async def watched_by(mux: Managed, number: int) -> None:
    """Returns once so many look at the traffic."""
    async with asyncio.timeout(15):
        while mux.app[DAEMON].parts.recent.watchers != number:
            await asyncio.sleep(0.02)


async def test_the_stream_begins_again_when_it_broke_and_nothing_is_missing_or_twice(visit: Seen) -> None:
    async with visit("live") as seen:
        recent, rows = seen.mux.app[DAEMON].parts.recent, seen.page.locator("main tbody tr")
        await watched_by(seen.mux, 1)
        assert await ask(seen.mux, "demo") == 200
        await expect(rows).to_have_count(1)
        for number in range(2, 4):
            recent.close()
            await watched_by(seen.mux, 0)
            assert await ask(seen.mux, "demo-code") == 200, "while nobody is told"
            await seen.says("The connection is gone").to_be_visible()
            await watched_by(seen.mux, 1)
            await expect(seen.page.get_by_text("The connection is gone")).to_have_count(0)
            await expect(rows.filter(has_text="demo-code")).to_have_count(number - 1)
            assert await ask(seen.mux, "demo-thinking") == 200
            await expect(rows.filter(has_text="demo-thinking")).to_have_count(number - 1)
        await expect(rows).to_have_count(5)


async def test_a_page_that_nobody_looks_at_is_told_nothing_and_catches_up_later(visit: Seen) -> None:
    look = """hidden => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    async with visit("live") as seen:
        rows = seen.page.locator("main tbody tr")
        await watched_by(seen.mux, 1)
        await seen.page.evaluate(look, True)
        await watched_by(seen.mux, 0)
        assert await ask(seen.mux, "demo") == 200
        await seen.page.evaluate(look, False)
        await watched_by(seen.mux, 1)
        await expect(rows).to_have_count(1)
        assert await ask(seen.mux, "demo") == 200
        await expect(rows).to_have_count(2)
        await seen.page.locator("[data-nav=logs]").click()
        await watched_by(seen.mux, 0)


async def test_what_was_running_before_one_looked_is_counted_until_it_ends(visit: Seen) -> None:
    async with visit("home") as seen:
        running = asyncio.create_task(ask(seen.mux, "demo-slow", stream=True))
        async with asyncio.timeout(10):
            while not (await seen.mux.ask("GET", "/requests"))["active"]:
                await asyncio.sleep(0.02)
        await seen.open("live")
        await expect(seen.page.locator(".tiles")).to_contain_text("Running now1")
        assert await running == 200
        await expect(seen.page.locator(".tiles")).to_contain_text("Running now0")


async def test_the_list_moves_and_what_one_is_at_stays(visit: Seen) -> None:
    async with visit("live") as seen:
        assert await ask(seen.mux, "demo") == 200
        link = seen.row("demo").get_by_role("link")
        await link.focus()
        assert await ask(seen.mux, "demo-code") == 200
        await expect(seen.page.locator("main tbody tr")).to_have_count(2)
        await expect(seen.page.locator("main tbody tr").nth(1).get_by_role("link")).to_be_focused()
