"""Logs: filtered, followed, emptied; and the inspector: one exchange with what was said on both sides."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from llm_mux import log
from llm_mux.server.serving import DAEMON
from tests.dashboard.conftest import Seen

SECRET = "sk-ant-secret-0123456789abcdef"


async def ask(seen: Any, model: str = "demo", text: str = "hello", **headers: str) -> str:
    """Sends a request; its id."""
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    async with seen.mux.bare.post("/v1/messages", json=body, headers=headers) as answer:
        await answer.read()
        return str(answer.headers["X-Request-ID"])


async def test_new_records_come_by_themselves_and_are_found_by_any_word(visit: Seen) -> None:
    async with visit("home") as seen:
        await seen.mux.ask("DELETE", "/logs")  # it is one log for all daemons of a process
        await seen.open("logs")
        await ask(seen, "demo-thinking")
        await seen.says("exchange.done").to_be_visible()
        await ask(seen, "demo")
        records = seen.page.locator(".log details", has_text="exchange.done")
        await expect(records).to_have_count(2)
        await expect(records.first).to_contain_text("model=demo "), "the newest is first"
        await seen.page.get_by_label("Filter").fill("demo-thinking")
        await expect(records).to_have_count(1)
        await records.first.locator("summary").click()
        await expect(records.first.locator(".facts")).to_contain_text("anthropic")


async def test_the_level_is_chosen_and_following_can_stop(visit: Seen) -> None:
    async with visit("logs", {"request-retry": 0}) as seen:
        await ask(seen, "demo")
        await seen.says("model=demo ").to_be_visible()
        await seen.page.get_by_label("Level").select_option("warning")
        await expect(seen.page.locator(".log summary .tag", has_text="info")).to_have_count(0)
        await seen.page.get_by_label("Level").select_option("info")
        await seen.page.get_by_label("Follow").uncheck()
        await ask(seen, "only-here")
        await seen.page.get_by_label("Follow").check()
        await seen.says("model=only-here").to_be_visible()


async def test_a_page_that_lost_its_daemon_goes_on_where_it_was(visit: Seen) -> None:
    async with visit("logs") as seen:
        drain = seen.mux.app[DAEMON].parts.drain
        drain.leaving = True
        await seen.says("The connection is gone").to_be_visible()
        drain.leaving = False
        log.logger.info("log.while_away")
        await expect(seen.page.locator(".log details", has_text="log.while_away")).to_have_count(1)
        await expect(seen.page.get_by_text("The connection is gone")).to_have_count(0)
        log.logger.info("log.again")
        await expect(seen.page.locator(".log details", has_text="log.again")).to_have_count(1)


async def test_the_log_is_emptied_only_after_a_question(visit: Seen) -> None:
    async with visit("logs") as seen:
        await ask(seen, "demo-thinking")
        await seen.says("demo-thinking").to_be_visible()
        await seen.button("Empty the log").click()
        await seen.button("Empty it").click()
        await expect(seen.page.locator(".log details", has_text="demo-thinking")).to_have_count(0)
        await seen.says("log.cleared").to_be_visible()


async def test_debug_records_are_switched_on_and_off(visit: Seen) -> None:
    async with visit("home") as seen:
        await seen.mux.ask("PUT", "/debug", json={"value": False})  # it is one switch for all daemons of a process
        await seen.open("logs")
        switch = seen.page.get_by_label("Debug records")
        await switch.check()
        await seen.says("are logged until you switch them off").to_be_visible()
        assert await seen.mux.ask("GET", "/debug") == {"value": True}
        await switch.uncheck()
        await seen.says("no longer logged").to_be_visible()
        assert await seen.mux.ask("GET", "/debug") == {"value": False}


async def test_without_capture_the_inspector_says_how_to_switch_it_on_and_does(visit: Seen) -> None:
    async with visit("inspector") as seen:
        await seen.says("Capture is off").to_be_visible()
        await seen.says("capture: true").to_be_visible()
        lost = await ask(seen)
        await seen.open(f"inspector/{lost}")
        await seen.says("Nothing was captured of this exchange").to_be_visible()
        await seen.button("Switch it on").click()
        await seen.says("Capture is on.").to_be_visible()
        kept = await ask(seen, text="keep me")
        await seen.open(f"inspector/{kept}")
        await expect(seen.page.get_by_role("region", name="What the client sent").first).to_contain_text("keep me")


async def test_four_panes_show_both_sides_of_a_translated_exchange_and_no_secret(visit: Seen) -> None:
    config = {"capture": True, "aliases": {"it": "demo"}, "disable-auth": True}
    async with visit("home", config) as seen:
        made = await ask(seen, "it", f"my key is {SECRET}", **{"x-api-key": SECRET})
        await seen.open(f"inspector/{made}")
        for title, texts in {
            "What the client sent": ['"model": "it"', "my key is"],
            "What went to the provider": ['"model": "demo"', "my key is"],
            "What came back": ["You said"],
            "What the client got": ["You said", '"type": "message"'],
        }.items():
            pane = seen.page.locator(f"section[aria-label='{title}']")
            for text in texts:
                await expect(pane.locator(".wire")).to_contain_text(text)
        for summary in await seen.page.locator("details.more summary").all():
            await summary.click()
        assert SECRET not in await seen.page.content()


async def test_every_attempt_can_be_looked_at(visit: Seen) -> None:
    config = {"capture": True, "request-retry": 0, "fallbacks": {"demo-500": ["demo"]}}
    async with visit("home", config) as seen:
        made = await ask(seen, "demo-500")
        await seen.open(f"inspector/{made}")
        went = seen.page.locator("section[aria-label='What went to the provider'] .wire")
        await expect(went).to_contain_text('"model": "demo"')
        await seen.page.get_by_text("Attempt 1:").click()
        await expect(went).to_contain_text('"model": "demo-500"')


async def test_an_exchange_that_nobody_remembers_is_said_in_words(visit: Seen) -> None:
    async with visit("home") as seen:
        seen.refused = {404}
        await seen.page.goto(f"{seen.mux.url}/#/inspector/req_nobody")
        await seen.says("No exchange of this id is remembered").to_be_visible()
