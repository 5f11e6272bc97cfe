"""What all pages have in common: signing in and out, the way between them, colours, the keyboard, a small screen."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import expect

from tests.dashboard.browser import DESK, PAGES, PHONE
from tests.dashboard.conftest import Seen


async def test_every_page_opens_from_the_menu_and_says_where_one_is(visit: Seen) -> None:
    async with visit() as seen:
        for name in PAGES:
            await seen.page.locator(f"[data-nav={name}]").click()
            await seen.page.wait_for_selector(f"main[data-page={name}][data-ready]")
            await expect(seen.page.locator(f"[data-nav={name}]")).to_have_attribute("aria-current", "page")
            await expect(seen.page.locator("main h1")).to_be_visible()


async def test_a_wrong_key_is_refused_in_words_and_the_right_one_opens_the_page(visit: Seen) -> None:
    async with visit(None) as seen:
        seen.refused = {401}
        await seen.sign_in("not-the-key")
        await expect(seen.page.get_by_role("alert")).to_contain_text("not the management key")
        await seen.sign_in()
        await seen.page.wait_for_selector("main[data-page=home][data-ready]")


async def test_the_key_is_in_no_address_and_no_storage_and_no_script_can_read_the_session(visit: Seen) -> None:
    async with visit() as seen:
        page = seen.page
        kept = await page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert seen.mux.key not in kept
        storage, _, cookies, _ = json.loads(kept)
        assert cookies == ""
        assert set(storage) == {"llm-mux.session"}
        assert await page.locator("#key").count() == 0, "the field with the key is gone too"


async def test_a_session_lasts_over_a_reload_and_ends_with_signing_out(visit: Seen) -> None:
    async with visit("logs") as seen:
        await seen.page.reload()
        await seen.page.wait_for_selector("main[data-page=logs][data-ready]")
        await seen.button("Sign out").click()
        await expect(seen.page.get_by_label("Management key")).to_be_visible()
        assert await seen.page.evaluate("localStorage.getItem('llm-mux.session')") is None


async def test_an_unknown_page_says_so(visit: Seen) -> None:
    async with visit() as seen:
        await seen.page.goto(f"{seen.mux.url}/#/nowhere")
        await seen.says("There is no such page.").to_be_visible()


@pytest.mark.parametrize(("scheme", "chosen"), [("dark", "Light"), ("light", "Dark")])
async def test_colours_follow_the_system_until_one_chooses_and_the_choice_is_kept(
    visit: Seen, scheme: str, chosen: str
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with visit("home", looks={"color_scheme": scheme}) as seen:
        before = await seen.page.evaluate(ground)
        await seen.page.locator("#theme").get_by_text(chosen).click()
        after = await seen.page.evaluate(ground)
        assert (_light(before), _light(after)) == (scheme == "light", scheme == "dark")
        await seen.page.reload()
        await seen.page.wait_for_selector("main[data-ready]")
        assert await seen.page.evaluate(ground) == after
        await seen.page.locator("#theme").get_by_text("Auto").click()
        assert await seen.page.evaluate(ground) == before


def _light(colour: str) -> bool:
    found = re.findall(r"\d+", colour)
    return sum(map(int, found[:3])) > 380


async def test_no_page_is_wider_than_a_phone_and_the_menu_is_behind_a_button(visit: Seen) -> None:
    async with visit("home", looks={"viewport": PHONE, "has_touch": True}) as seen:
        for name in PAGES:
            await seen.open("" if name == "home" else name)
            assert await seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        menu = seen.page.locator("#side")
        await expect(menu).to_be_hidden()
        await seen.button("Menu").click()
        await expect(menu).to_be_visible()
        await menu.get_by_text("Logs").click()
        await seen.page.wait_for_selector("main[data-page=logs][data-ready]")
        await expect(menu).to_be_hidden()


async def test_the_keyboard_alone_signs_in_and_goes_everywhere_and_one_sees_where_it_is(visit: Seen) -> None:
    async with visit(None, looks={"viewport": DESK}) as seen:
        page = seen.page
        await page.get_by_label("Management key").wait_for()
        await page.keyboard.type(seen.mux.key)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("main[data-page=home][data-ready]")
        for name in PAGES[1:]:
            await page.evaluate("document.activeElement.blur()")
            await _tab_to(seen, f"[data-nav={name}]")
            await page.keyboard.press("Enter")
            await page.wait_for_selector(f"main[data-page={name}][data-ready]")
            assert await page.evaluate("document.activeElement.id") == "main", "one is in the page that one went to"


async def _tab_to(seen: object, wanted: str, most: int = 60, *, back: bool = True) -> None:
    page = seen.page  # type: ignore[attr-defined]
    for _ in range(most):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        found = await page.evaluate(
            """wanted => { const e = document.activeElement; const s = getComputedStyle(e);
            return [e.matches(wanted), s.outlineStyle !== 'none' || e.type === 'radio' || e === document.body || !!e.closest('.editor')]; }""",
            wanted,
        )
        assert found[1], "the focus is seen"
        if found[0]:
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")


async def test_the_keyboard_alone_makes_a_key_gives_credit_and_changes_the_configuration(visit: Seen) -> None:
    async with visit("keys", {"aliases": {"fast": "demo"}}) as seen:
        page, press = seen.page, seen.page.keyboard.press

        async def reach(name: str) -> None:
            await _tab_to(seen, name, back=False)

        await reach("main button.primary")
        await press("Enter")
        await expect(page.get_by_label("Name")).to_be_focused()
        await page.keyboard.type("by-hand")
        await press("Enter")
        await expect(page.get_by_text("Copy it now")).to_be_visible()
        await reach("dialog button.primary")
        await press("Enter")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(seen.row("by-hand")).to_be_visible()
        assert await page.evaluate("document.activeElement.closest('main') !== null"), "the focus is back where it was"
        await seen.open("billing")
        await reach("main button.primary")
        await press("Enter")
        await expect(page.get_by_label("User")).to_be_focused()
        await page.keyboard.type("ann")
        await press("Tab")
        await page.keyboard.type("3")
        await press("Enter")
        await seen.says("ann has $3.00 now").to_be_visible()
        await seen.open("config")
        await reach("main textarea")
        await press("Control+End")
        await page.keyboard.type("debug: false\n")
        await press("Control+s")
        await reach("dialog button.primary")
        await press("Enter")
        await seen.says("Saved and in effect.").to_be_visible()
        assert seen.mux.file.read_text(encoding="utf-8").endswith("debug: false\n")


async def test_the_first_stop_of_the_keyboard_leads_past_the_menu(visit: Seen) -> None:
    async with visit("usage") as seen:
        await seen.page.reload()
        await seen.page.wait_for_selector("main[data-ready]")
        await seen.page.keyboard.press("Tab")
        await expect(seen.page.locator(".skip")).to_be_focused()
        await seen.page.keyboard.press("Enter")
        assert await seen.page.evaluate("document.activeElement.id") == "main"


async def test_a_daemon_that_went_away_is_said_and_nothing_typed_is_lost(visit: Seen) -> None:
    async with visit("playground") as seen:
        await seen.page.get_by_role("textbox", name="Message").fill("keep this")
        await seen.page.context.set_offline(True)
        await seen.button("Send").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("does not answer")
        await expect(seen.page.locator("#daemon")).to_contain_text("does not answer")
        await expect(seen.page.get_by_role("textbox", name="Message")).to_have_value("keep this")
        await seen.page.context.set_offline(False)
        seen.forget()
