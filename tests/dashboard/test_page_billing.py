"""Balances: who has what, what became of it, money given and taken; and sessions: who is signed in, and the end of it."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, expect

from tests.dashboard.browser import visited
from tests.dashboard.conftest import Seen

EVIL = "<img src=x onerror=window.hit=1>"
ON = {"billing": {"enabled": True, "initial-balance": "5"}}


async def give(seen: Any, amount: str, description: str = "", user: str | None = None) -> None:
    form = seen.page.locator("dialog form")
    if user is not None:
        await form.get_by_label("User").fill(user)
    await form.get_by_label("US dollars").fill(amount)
    await form.get_by_label("What for").fill(description)
    await form.get_by_role("button", name="Give it").click()


async def test_money_is_given_and_taken_and_every_change_is_told(visit: Seen) -> None:
    async with visit("billing", ON) as seen:
        await seen.says("Nobody has a balance yet").to_be_visible()
        await seen.button("Give credit").first.click()
        await give(seen, "12.500000000001", f"November {EVIL}", user=f"ann {EVIL}")
        await seen.says("has $17.500000000001 now").to_be_visible()
        row = seen.row("ann")
        await expect(row).to_contain_text("may spend")
        await row.get_by_role("link").click()
        await seen.page.wait_for_selector("main[data-page=billing][data-ready]")
        await expect(seen.page.locator("main h1")).to_have_text(f"ann {EVIL}")
        await seen.button("Give credit").click()
        await give(seen, "-20")
        await expect(seen.page.locator(".tiles")).to_contain_text("−$2.499999999999")
        cells = seen.page.locator("main tbody tr td[data-label=Amount]")
        assert await cells.all_text_contents() == ["−$20.00", "+$12.500000000001", "+$5.00"]
        await expect(seen.row("November")).to_contain_text(EVIL)
        assert await seen.page.evaluate("[window.hit ?? 0, document.querySelectorAll('main img').length]") == [0, 0]
        await seen.page.get_by_role("link", name="All balances").click()
        await expect(seen.row("ann")).to_contain_text("used up")


async def test_an_amount_that_cannot_be_is_said_in_the_form(visit: Seen) -> None:
    async with visit("billing") as seen:
        seen.refused = {400}
        await seen.says("not looked at").to_be_visible()
        await seen.button("Give credit").first.click()
        for wrong in ("ten", "1e3", "1.0000000000001", "12345678"):
            await give(seen, wrong, user="ann")
            await expect(seen.page.get_by_label("US dollars")).to_have_js_property("validity.valid", False)
        await give(seen, "0", user="ann")
        await expect(seen.page.locator("dialog").get_by_role("alert")).to_contain_text("changes nothing")
        await expect(seen.page.get_by_label("User")).to_have_value("ann")
        assert (await seen.mux.ask("GET", "/billing/balances"))["total"] == 0


async def test_many_users_come_in_pages_and_are_found_by_a_part_of_their_name(visit: Seen) -> None:
    async with visit("home", ON) as seen:
        for number in range(60):
            await seen.mux.ask("POST", "/billing/credit", json={"user": f"user-{number:02}", "amount": "1"})
        await seen.open("billing")
        rows = seen.page.locator("main tbody tr")
        await expect(rows).to_have_count(50)
        await seen.says("1 to 50 of 60 users").to_be_visible()
        await seen.button("Further").click()
        await expect(rows).to_have_count(10)
        await expect(seen.button("Further")).to_be_disabled()
        await seen.page.get_by_label("Search").fill("USER-5")
        await expect(rows).to_have_count(10)
        await seen.says("10 users").to_be_visible()
        await seen.page.get_by_label("Search").fill("nobody")
        await seen.says("Nobody of that name").to_be_visible()


async def test_sessions_of_other_browsers_are_seen_and_ended(visit: Seen, browser: Browser) -> None:
    async with visit("sessions") as seen:
        await expect(seen.page.locator("main tbody tr")).to_have_count(1)
        await expect(seen.button("End all others")).to_be_disabled()
        agent = f"Mozilla/5.0 (Windows NT 10.0) Firefox/140.0 {EVIL}"
        others = [await visited(browser, seen.mux, user_agent=agent) for _ in range(3)]
        for _, other in others:
            other.refused = {401}
            await other.page.goto(f"{seen.mux.url}/#/accounts")
            await other.sign_in()
            await other.page.wait_for_selector("main[data-page=accounts][data-ready]")
        await seen.open("home")
        await seen.open("sessions")
        rows = seen.page.locator("main tbody tr")
        await expect(rows).to_have_count(4)
        await expect(rows.first).to_contain_text("this one")
        await expect(seen.row("Firefox 140 on Windows")).to_contain_text(EVIL)
        assert await seen.page.evaluate("[window.hit ?? 0, document.querySelectorAll('main img').length]") == [0, 0]
        await seen.page.get_by_role("button", name="End the session of Firefox 140").first.click()
        await expect(rows).to_have_count(3)
        await seen.button("End all others").click()
        await seen.page.locator("dialog").get_by_role("button", name="End them").click()
        await seen.says("2 sessions have ended.").to_be_visible()
        await expect(rows).to_have_count(1)
        for context, other in others:
            await other.page.locator("[data-nav=logs]").click()
            await expect(other.page.get_by_role("heading", name="Sign in again")).to_be_visible()
            await context.close()
