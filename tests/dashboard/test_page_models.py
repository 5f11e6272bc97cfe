"""Models: searched, looked at, tried; and routes: explained, renamed, with fallbacks, judged before they count."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.dashboard.conftest import Seen

CONFIG = """\
host: 127.0.0.1
port: 0
discover: false
# The names that everybody here uses.
aliases:
  fast: demo   # for the editor
fallbacks:
  demo-500: [demo]
"""


async def test_models_are_found_by_any_part_of_their_names(visit: Seen) -> None:
    async with visit("models", CONFIG) as seen:
        rows = seen.page.locator("main tbody tr")
        await expect(rows).to_have_count(8)
        await seen.page.get_by_label("Search").fill("demo think")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("demo-thinking")
        await seen.page.get_by_label("Search").fill("nothing like it")
        await seen.says("Nothing fits").to_be_visible()


async def test_a_model_says_what_it_stands_for_who_has_it_and_what_it_costs(visit: Seen) -> None:
    prices = [{"model": "demo/demo", "input": 3, "output": 15}]
    async with visit("models", {"aliases": {"fast": "demo"}, "prices": prices}) as seen:
        await expect(seen.row("fast")).to_contain_text("demo")
        await expect(seen.row("fast")).to_contain_text("$3.00")
        await expect(seen.row("fast")).to_contain_text("$15.00")
        await seen.row("fast").get_by_role("button", name="fast").click()
        facts = seen.page.locator("dialog .facts")
        await expect(facts).to_contain_text("demo/demo")
        await expect(facts).to_contain_text("demo://demo")
        await seen.page.locator("dialog").get_by_role("link", name="Try it").click()
        await seen.page.wait_for_selector("main[data-page=playground][data-ready]")
        await expect(seen.page.get_by_label("Model")).to_have_value("fast")


async def test_providers_that_did_not_answer_are_named(visit: Seen) -> None:
    lost = {"type": "openai-compatible", "id": "lost", "base-url": "http://127.0.0.1:1/v1", "api-key": "sk-lost"}
    async with visit("models", {"providers": [lost]}) as seen:
        await expect(seen.page.locator(".note.warn")).to_contain_text("lost")


async def test_a_route_is_explained_with_its_fallbacks(visit: Seen) -> None:
    async with visit("routes", CONFIG) as seen:
        await seen.page.get_by_label("Model", exact=True).fill("demo-500")
        await seen.button("Explain").click()
        rows = seen.page.locator("main tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(0)).to_contain_text("demo-500")
        await expect(rows.nth(1)).to_contain_text("demo/demo")
        await seen.page.reload()
        await expect(rows).to_have_count(2)


async def test_a_name_that_nobody_knows_is_said_in_words(visit: Seen) -> None:
    async with visit("routes", CONFIG) as seen:
        seen.refused = {404}
        await seen.page.get_by_label("Model", exact=True).fill("nope")
        await seen.button("Explain").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("nope")


async def test_names_and_fallbacks_are_changed_and_the_comments_of_the_file_stay(visit: Seen) -> None:
    async with visit("routes", CONFIG) as seen:
        await seen.button("Add a name").click()
        await seen.page.get_by_label("Name 2").fill("clever")
        await seen.page.locator("[data-entry='aliases.1.1']").fill("demo-thinking")
        await seen.page.locator("[data-entry='fallbacks.0.1']").fill("demo-thinking, demo")
        await seen.says("Not saved yet").to_be_visible()
        await seen.button("Save").click()
        await seen.says("Saved and in effect.").to_be_visible()
        await expect(seen.page.locator(".pair", has_text="demo://demo-thinking")).to_be_visible()
        text = seen.mux.file.read_text(encoding="utf-8")
        assert "# The names that everybody here uses." in text
        known = await seen.mux.ask("GET", "/aliases")
        assert {each["name"]: each["target"] for each in known["aliases"]} == {
            "fast": "demo",
            "clever": "demo-thinking",
        }
        assert known["fallbacks"] == {"demo-500": ["demo-thinking", "demo"]}


async def test_what_cannot_be_is_said_and_the_edit_outlasts_a_look_elsewhere(visit: Seen) -> None:
    async with visit("routes", CONFIG) as seen:
        seen.refused = {400}
        await seen.page.locator("[data-entry='aliases.0.1']").fill("fast")
        await seen.button("Save").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("fast")
        await seen.page.locator("[data-nav=logs]").click()
        await seen.page.locator("[data-nav=routes]").click()
        await expect(seen.page.locator("[data-entry='aliases.0.1']")).to_have_value("fast")
        await seen.button("Give the changes up").click()
        await expect(seen.page.locator("[data-entry='aliases.0.1']")).to_have_value("demo")
        assert "fast: demo" in seen.mux.file.read_text(encoding="utf-8")


async def test_a_name_that_leads_to_a_provider_that_is_not_there_is_refused_with_its_line(visit: Seen) -> None:
    async with visit("routes", CONFIG) as seen:
        seen.refused = {400}
        before = seen.mux.file.read_text(encoding="utf-8")
        alias = seen.page.locator("[data-entry='aliases.0.1']")
        for wrong in ("nowhere://demo", "demo@://demo"):
            await alias.fill(wrong)
            await seen.button("Save").click()
            said = seen.page.get_by_role("alert")
            await expect(said).to_contain_text(re.compile(r"config\.yaml:\d+:\d+: .*(nowhere|demo@)"))
        await alias.fill("demo")
        await seen.page.locator("[data-entry='fallbacks.0.1']").fill("demo, nowhere://x")
        await seen.button("Save").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("nowhere")
        assert seen.mux.file.read_text(encoding="utf-8") == before
