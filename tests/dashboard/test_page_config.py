"""The configuration editor: errors by their lines, the change before it counts, versions to go back to, nothing lost."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from tests.dashboard.conftest import Seen

CONFIG = """\
host: 127.0.0.1
port: 0
discover: false
# Ours.
api-keys: [sk-client-key-0123456789]
aliases:
  fast: demo
"""


def text(seen: Any) -> Any:
    return seen.page.get_by_label("Configuration, YAML")


async def edit(seen: Any, before: str, after: str) -> None:
    await text(seen).fill((await text(seen).input_value()).replace(before, after))


async def test_a_mistake_is_marked_at_its_line_while_one_types(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        await edit(seen, "aliases:", "alias:")
        problem = seen.page.get_by_role("alert")
        await expect(problem).to_contain_text("Line 6")
        await expect(problem).to_contain_text("aliases")
        await expect(seen.page.locator(".gutter .bad")).to_have_text("6")
        await seen.button("Line 6").click()
        assert await text(seen).evaluate("e => e.value.slice(0, e.selectionStart).split('\\n').length") == 6
        await edit(seen, "alias:", "aliases:")
        await expect(problem).to_have_count(0)
        await expect(seen.page.locator(".gutter .bad")).to_have_count(0)


async def test_a_file_with_a_mistake_is_not_saved(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        seen.refused = {400}
        await edit(seen, "port: 0", "port: many")
        await seen.button("Review and save").click()
        await seen.button("Save and put in effect").click()
        await expect(seen.page.locator("dialog").get_by_role("alert")).to_contain_text(":2:")
        await seen.button("Back to the text").click()
        await expect(seen.page.locator(".gutter .bad")).to_have_text("2")
        assert seen.mux.file.read_text(encoding="utf-8") == CONFIG


async def test_the_change_is_seen_before_it_is_saved_and_then_in_effect_with_comments_and_secrets(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        assert "sk-client-key" not in await text(seen).input_value()
        await edit(seen, "  fast: demo", "  fast: demo\n  clever: demo-thinking")
        await text(seen).press("Control+s")
        change = seen.page.get_by_label("What changes")
        await expect(change.locator(".add")).to_contain_text("clever: demo-thinking")
        await expect(change.locator(".del")).to_have_count(0)
        await seen.button("Save and put in effect").click()
        await seen.says("Saved and in effect.").to_be_visible()
        assert seen.mux.file.read_text(encoding="utf-8") == f"{CONFIG}  clever: demo-thinking\n"
        assert "clever" in str(await seen.mux.ask("GET", "/aliases"))
        await expect(seen.button("Review and save")).to_be_disabled()


async def test_an_earlier_version_is_looked_at_and_restored(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        await seen.button("Restore an earlier version").click()
        await seen.says("There is no earlier version").to_be_visible()
        await edit(seen, "fast: demo", "fast: demo-slow")
        await seen.button("Review and save").click()
        await seen.button("Save and put in effect").click()
        await seen.says("Saved and in effect.").to_be_visible()
        await seen.button("Restore an earlier version").click()
        await expect(seen.page.get_by_label("What changes").locator(".del")).to_contain_text("fast: demo-slow")
        await seen.button("Restore", exact=True).click()
        await seen.says("That version is in effect.").to_be_visible()
        assert seen.mux.file.read_text(encoding="utf-8") == CONFIG
        assert "demo-slow" not in await text(seen).input_value()


async def test_a_file_that_somebody_else_changed_meanwhile_is_not_written_over(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        seen.refused = {409}
        await edit(seen, "fast: demo", "fast: demo-slow")
        other = CONFIG.replace("# Ours.", "# Theirs.")
        await seen.mux.client.put("/v0/management/config.yaml", data=other.encode())
        await seen.button("Review and save").click()
        await seen.button("Save and put in effect").click()
        await expect(seen.page.locator("dialog").get_by_role("alert")).to_contain_text("has changed")
        await seen.button("Compare with it now").click()
        await expect(seen.page.get_by_label("What changes").locator(".del")).to_have_count(2)
        assert seen.mux.file.read_text(encoding="utf-8") == other


async def test_a_session_that_ended_asks_for_the_key_over_the_page_and_the_edit_is_saved_after_it(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        seen.refused = {401}
        await edit(seen, "fast: demo", "fast: demo-thinking")
        await seen.page.context.clear_cookies()
        await seen.button("Review and save").click()
        await seen.button("Save and put in effect").click()
        await seen.says("Sign in again").to_be_visible()
        await seen.says("What you were writing is still here.").to_be_visible()
        await seen.sign_in()
        await seen.says("Saved and in effect.").to_be_visible()
        assert "fast: demo-thinking" in seen.mux.file.read_text(encoding="utf-8")


async def test_nothing_is_asked_while_the_page_asks_for_the_key(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        seen.refused = {401}
        await seen.page.context.clear_cookies()
        await seen.page.locator("[data-nav=live]").click()
        await seen.says("Sign in again").to_be_visible()
        asked: list[str] = []
        seen.page.on(
            "request", lambda request: asked.append(f"{request.method} {request.url.rpartition('/v0/management')[2]}")
        )
        used = await seen.page.evaluate(
            "() => performance.getEntriesByType('resource').find((e) => /\\/api\\.js/.test(e.name)).name"
        )
        await seen.page.evaluate("(used) => void import(used).then((api) => api.get('/aliases'))", used)
        async with seen.page.expect_response(lambda response: response.url.endswith("/aliases") and response.ok):
            await seen.sign_in()
        assert asked.index("POST /session") < asked.index("GET /aliases")


async def test_what_is_typed_outlasts_a_look_at_another_page_and_is_given_up_only_by_name(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        await edit(seen, "# Ours.", "# Mine.")
        await seen.page.locator("[data-nav=live]").click()
        await seen.page.wait_for_selector("main[data-page=live][data-ready]")
        await seen.page.locator("[data-nav=config]").click()
        await seen.page.wait_for_selector("main[data-page=config][data-ready]")
        assert "# Mine." in await text(seen).input_value()
        await seen.button("Give the changes up").click()
        assert "# Ours." in await text(seen).input_value()


async def test_the_keyboard_leaves_the_editor_as_it_leaves_everything(visit: Seen) -> None:
    async with visit("config", CONFIG) as seen:
        await text(seen).focus()
        await seen.page.keyboard.press("Tab")
        assert await text(seen).evaluate("e => document.activeElement !== e")
        await text(seen).press("Control+End")
        await seen.page.keyboard.type("fallbacks:\ndemo: [demo-slow]")
        assert (await text(seen).input_value()).endswith("fallbacks:\n  demo: [demo-slow]"), "it begins below"
