"""Home: what to do next, and what to put into each tool."""

from __future__ import annotations

import json

from playwright.async_api import expect

from scripts import dashboard_tools
from tests.dashboard.conftest import Seen


async def test_a_newcomer_is_told_three_steps_and_each_is_done_when_it_is(visit: Seen) -> None:
    async with visit() as seen:
        steps = seen.page.locator(".steps > li")
        await expect(steps).to_have_count(3)
        await expect(seen.page.locator("main h1")).to_have_text("Welcome to llm-mux")
        await expect(steps.nth(0)).to_contain_text("1 account with 7 models")
        assert [("done" in (await each.get_attribute("class") or "")) for each in await steps.all()] == [
            True,
            False,
            False,
        ]
        chat = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        async with seen.mux.bare.post("/v1/chat/completions", json=chat) as answer:
            assert answer.status == 200
        await seen.open("logs")
        await seen.open("")
        await expect(seen.page.locator("main h1")).to_have_text("Home")
        assert [("done" in (await each.get_attribute("class") or "")) for each in await steps.all()] == [
            True,
            True,
            True,
        ]
        await expect(seen.page.locator(".tiles")).to_contain_text("Requests today1")


async def test_the_snippet_of_a_tool_has_this_daemon_and_the_chosen_model_and_can_be_copied(visit: Seen) -> None:
    async with visit("home", looks={"permissions": ["clipboard-read", "clipboard-write"]}) as seen:
        await seen.page.get_by_label("Tool").select_option("codex")
        await seen.page.get_by_label("Model").select_option("demo-thinking")
        command = seen.page.get_by_label("Command that connects Codex")
        await expect(command).to_have_text("llm-mux connect codex --model demo-thinking")
        await command.locator("xpath=..").get_by_role("button").click()
        await expect(seen.button("Copied")).to_be_visible()
        assert (
            await seen.page.evaluate("navigator.clipboard.readText()") == "llm-mux connect codex --model demo-thinking"
        )
        await seen.page.get_by_text("By hand").click()
        by_hand = seen.page.locator(".steps details")
        await expect(by_hand).to_contain_text(f'"{seen.mux.url}/v1"')
        await expect(by_hand).to_contain_text('model = "demo-thinking"')


async def test_every_tool_has_a_snippet_without_marks_that_nobody_filled_in(visit: Seen) -> None:
    async with visit() as seen:
        for tool in json.loads(dashboard_tools.page())["tools"]:
            for model in ("", "demo"):
                await seen.page.get_by_label("Tool").select_option(tool["name"])
                await seen.page.get_by_label("Model").select_option(model)
                text = await seen.page.locator(".steps > li").nth(1).text_content() or ""
                assert f"llm-mux connect {tool['name']}" in text
                assert all(
                    mark not in text for mark in (dashboard_tools.URL, dashboard_tools.KEY, dashboard_tools.MODEL)
                )


def test_the_snippets_are_what_connect_writes() -> None:
    assert dashboard_tools.PAGE.read_text(encoding="utf-8") == dashboard_tools.page(), "run make docs"
