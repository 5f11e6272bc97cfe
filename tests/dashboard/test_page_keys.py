"""Client keys: made with scopes and shown once, changed, given a new secret, revoked."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from playwright.async_api import expect

from tests.dashboard.conftest import Seen


async def status(seen: Any, key: str, model: str = "demo") -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    async with seen.mux.bare.post(
        "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
    ) as answer:
        return int(answer.status)


async def becomes(seen: Any, key: str, wanted: int) -> None:
    """A change of a key counts from the next second on, as the page says."""
    async with asyncio.timeout(10):
        while await status(seen, key) != wanted:
            await asyncio.sleep(0.05)


async def make(seen: Any, **fields: str) -> str:
    """Makes a key and takes it from the page, which shows it this once."""
    await seen.button("Make a key").first.click()
    for name, value in fields.items():
        await seen.page.locator(f"dialog [name='{name.replace('_', '-')}']").fill(value)
    await seen.button("Make the key").click()
    shown = seen.page.get_by_label("The new key", exact=True)
    await expect(shown).to_have_text(re.compile("^mux-"))
    secret = str(await shown.text_content())
    await seen.button("I have it").click()
    return secret


async def test_a_key_is_made_with_its_scopes_and_shown_once(visit: Seen) -> None:
    async with visit("keys", {"disable-auth": False}) as seen:
        key = await make(seen, name="laptop", models="demo, demo-t*", daily_budget="5", requests_per_minute="60")
        row = seen.row("laptop")
        for scope in ("models: demo, demo-t*", "$5.00 a day, $0 spent", "requests a minute: 60", "active"):
            await expect(row).to_contain_text(scope)
        assert (await status(seen, key), await status(seen, key, "demo-slow"), await status(seen, "mux-no")) == (
            200,
            403,
            401,
        )
        assert key not in await seen.page.content()
        await seen.page.reload()
        await seen.page.wait_for_selector("main[data-ready]")
        assert key not in await seen.page.content()


async def test_a_key_is_changed_and_keeps_its_secret(visit: Seen) -> None:
    async with visit("keys", {"disable-auth": False}) as seen:
        key = await make(seen, name="ci", models="demo", monthly_budget="20")
        await seen.button("Change ci").click()
        await expect(seen.page.locator("dialog [name=monthly-budget]")).to_have_value("20")
        await seen.page.locator("dialog [name=models]").fill("demo-thinking")
        await seen.button("Save").click()
        await expect(seen.row("ci")).to_contain_text("models: demo-thinking")
        await expect(seen.row("ci")).to_contain_text("$20.00 a month")
        assert (await status(seen, key), await status(seen, key, "demo-thinking")) == (403, 200)


async def test_a_new_secret_ends_the_former_one_at_once_if_one_wants(visit: Seen) -> None:
    async with visit("keys", {"disable-auth": False}) as seen:
        former = await make(seen, name="ci", models="demo*")
        await seen.button("New secret for ci").click()
        await seen.page.get_by_label("The former one ends").select_option("0")
        await seen.button("Make it").click()
        fresh = str(await seen.page.get_by_label("The new key", exact=True).text_content())
        await seen.button("I have it").click()
        await expect(seen.row("ci")).to_contain_text("models: demo*")
        assert await status(seen, fresh) == 200
        await becomes(seen, former, 401)


async def test_revoking_asks_first_and_then_the_key_is_refused(visit: Seen) -> None:
    async with visit("keys", {"disable-auth": False}) as seen:
        key = await make(seen, name="old")
        await seen.button("Revoke old").click()
        await seen.button("Cancel").click()
        assert await status(seen, key) == 200
        await seen.button("Revoke old").click()
        await seen.page.locator("dialog").get_by_role("button", name="Revoke").click()
        await seen.says("is revoked").to_be_visible()
        await expect(seen.page.locator("main tbody")).to_have_count(0)
        await becomes(seen, key, 401)
        await seen.page.get_by_label("Revoked and expired ones too").check()
        await expect(seen.row("old")).to_contain_text("revoked")


async def test_a_wish_that_cannot_be_is_said_in_the_form_and_nothing_typed_is_lost(visit: Seen) -> None:
    async with visit("keys") as seen:
        seen.refused = {400}
        await seen.button("Make a key").first.click()
        await seen.page.locator("dialog [name=name]").fill("x")
        await seen.page.locator("dialog [name=daily-budget]").fill("99999999")
        await seen.button("Make the key").click()
        await expect(seen.page.locator("dialog").get_by_role("alert")).to_contain_text("budget")
        await expect(seen.page.locator("dialog [name=name]")).to_have_value("x")
        await seen.page.keyboard.press("Escape")
        await expect(seen.page.locator("dialog")).to_have_count(0)
