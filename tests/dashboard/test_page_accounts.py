"""Accounts: added by key and by login, looked at, tried, renamed, switched off and on, freed from a rest, deleted."""

from __future__ import annotations

import json
import pathlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from llm_mux.server.serving import DAEMON
from tests.dashboard.conftest import Seen
from tests.fake_upstream import FakeUpstream, json_reply
from tests.upstreams.oidc import Oidc, oidc

KEY = "sk-plant-key-of-an-account-1"
MODELS = {"object": "list", "data": [{"id": "m", "object": "model"}]}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as made:
        limits = {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "10",
            "x-ratelimit-reset-requests": "2h",
        }
        made.on("/v1/models", json_reply(MODELS))
        made.on("/v1/chat/completions", json_reply(CHAT, **limits))
        yield made


def lab(upstream: FakeUpstream) -> dict[str, Any]:
    return {"providers": [{"type": "openai-compatible", "id": "lab", "base-url": f"{upstream.url}/v1"}]}


def account(seen: Any, name: str) -> Any:
    return seen.page.locator(f"[data-account='{name}']")


async def add_key(seen: Any, label: str, *, check: bool = True) -> None:
    await seen.button("Add an account").first.click()
    await seen.page.get_by_label("Search providers").fill("lab")
    await seen.page.locator("[data-provider=lab]").click()
    await seen.page.get_by_label("API key").fill(KEY)
    await seen.page.get_by_text("Name and place").click()
    await seen.page.get_by_label("Name", exact=True).fill(label)
    await seen.page.get_by_label("Ask the provider first").set_checked(check)
    await seen.button("Add the key").click()


async def test_a_key_becomes_an_account_and_is_not_in_the_page_again(visit: Seen, upstream: FakeUpstream) -> None:
    async with visit("accounts", lab(upstream)) as seen:
        await add_key(seen, "main")
        await expect(account(seen, "lab/main")).to_contain_text("ready")
        await expect(seen.page.locator("dialog")).to_have_count(0)
        assert KEY not in await seen.page.content()
        assert f"Bearer {KEY}" in {each.headers.get("authorization") for each in upstream.seen("/v1/models")}


async def test_a_key_that_the_provider_refuses_is_not_stored_and_what_was_typed_stays(
    visit: Seen, upstream: FakeUpstream
) -> None:
    upstream.on("/v1/models", json_reply({"error": {"message": "Incorrect API key"}}, 401))
    async with visit("accounts", lab(upstream)) as seen:
        seen.refused = {400}
        await add_key(seen, "main")
        await expect(seen.page.locator("dialog").get_by_role("alert")).to_contain_text("was not stored")
        await expect(seen.page.get_by_label("API key")).to_have_value(KEY)
        await seen.button("Cancel").click()
        await expect(account(seen, "lab/main")).to_have_count(0)


async def test_an_account_is_tried_renamed_switched_off_and_on_and_deleted(visit: Seen, upstream: FakeUpstream) -> None:
    async with visit("accounts", lab(upstream)) as seen:
        await add_key(seen, "main")
        await seen.button("Test lab/main").click()
        await seen.says("It has 1 model.").to_be_visible()
        await seen.button("Rename lab/main").click()
        await seen.page.get_by_label("Name", exact=True).fill("team")
        await seen.page.locator("dialog").get_by_role("button", name="Rename").click()
        await expect(account(seen, "lab/team")).to_be_visible()
        await seen.button("Switch off lab/team").click()
        await expect(account(seen, "lab/team")).to_contain_text("switched off")
        await seen.button("Switch on lab/team").click()
        await expect(account(seen, "lab/team")).to_contain_text("ready")
        await seen.button("Delete lab/team").click()
        await seen.page.locator("dialog").get_by_role("button", name="Delete").click()
        await expect(account(seen, "lab/team")).to_have_count(0)
        left = (await seen.mux.ask("GET", "/accounts"))["accounts"]
        assert {each["name"] for each in left} == {"demo/demo", "lab/default"}


async def test_quota_windows_say_how_much_is_used_and_when_they_begin_anew(visit: Seen, upstream: FakeUpstream) -> None:
    async with visit("accounts", lab(upstream)) as seen:
        await add_key(seen, "main")
        await expect(account(seen, "lab/main")).to_be_visible()
        body = {"model": "lab://m", "messages": [{"role": "user", "content": "hello"}]}
        async with seen.mux.bare.post("/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
        quota = account(seen, "lab/main").locator(".quota")
        await expect(quota).to_contain_text("90% used")
        await expect(quota).to_contain_text("begins anew in 2 h")
        there = time.strftime("%H:", time.localtime(time.time() + 7200))
        assert there in (await quota.text_content() or ""), "the reader's own time"
        await expect(quota.get_by_role("img")).to_have_attribute("aria-label", re.compile("90% used"))


async def test_an_account_that_needs_a_new_login_says_so_at_home_too_and_leads_there(
    visit: Seen, upstream: FakeUpstream
) -> None:
    async with visit("accounts", lab(upstream)) as seen:
        await add_key(seen, "main")
        await expect(account(seen, "lab/main")).to_contain_text("ready")
        (lost,) = (each for each in seen.mux.app[DAEMON].gateway.accounts if each.name == "lab/main")
        lost.needs_login("The refresh token is used up.")
        await seen.open("")
        await seen.says("lab/main needs a new login.").to_be_visible()
        await seen.page.get_by_role("main").get_by_role("link", name="Accounts", exact=True).click()
        await expect(account(seen, "lab/main")).to_contain_text("needs a new login")
        await seen.button("Log in again at lab/main").click()
        await expect(seen.page.get_by_role("heading", name="Add an account at")).to_be_visible()
        await seen.page.keyboard.press("Escape")


async def test_a_rest_says_why_and_for_how_long_and_can_be_ended(visit: Seen) -> None:
    async with visit("accounts", {"request-retry": 0}) as seen:
        body = {"model": "demo-429", "messages": [{"role": "user", "content": "hello"}]}
        async with seen.mux.bare.post("/v1/chat/completions", json=body) as answer:
            assert answer.status == 429
        resting = seen.page.locator("[data-account^='demo/'] .note")
        await expect(resting).to_contain_text("for demo-429")
        await resting.get_by_role("button", name="End it now").click()
        await expect(resting).to_have_count(0)
        assert await seen.mux.ask("GET", "/cooldowns") == {"cooldowns": []}


async def test_a_vendors_warning_has_to_be_read_before_its_login_begins(visit: Seen) -> None:
    async with visit("accounts") as seen:
        await seen.button("Add an account").first.click()
        await seen.page.locator("[data-provider=anthropic]").click()
        login = seen.page.locator("dialog [data-way]").first
        await expect(login).to_be_disabled()
        await seen.page.get_by_label("I have read this").check()
        await expect(login).to_be_enabled()


async def test_what_another_program_left_is_imported_from_its_file(visit: Seen, tmp_path: pathlib.Path) -> None:
    tokens = {"refresh_token": "plant-refresh", "access_token": "plant-access", "account_id": "acc-1"}
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"tokens": tokens}), encoding="utf-8")
    async with visit("accounts") as seen:
        await seen.button("Add an account").first.click()
        await seen.page.locator("[data-provider=codex]").click()
        box = seen.page.locator("dialog")
        await box.get_by_text("Import one that is there already").click()
        await seen.says("~/.codex/auth.json").to_be_visible()
        go = box.locator("[data-imports=browser]")
        await expect(go).to_be_disabled()
        await box.get_by_label("I have read this").check()
        await go.click()
        await seen.says("There is nothing to import").to_be_visible()
        await box.get_by_label("What to import: choose the file").set_input_files(file)
        await expect(box.get_by_label("What to import", exact=True)).to_have_value(re.compile("plant-refresh"))
        opened = box.locator("details[open]").filter(has=seen.page.locator("[data-imports=browser]"))
        await opened.locator("summary").last.click()
        await opened.get_by_label("Name", exact=True).fill("mine")
        await go.click()
        await expect(account(seen, "codex/mine")).to_contain_text("login")
        assert "plant" not in await seen.page.content()


async def test_a_project_and_an_oauth_client_of_ones_own_go_with_the_login(visit: Seen) -> None:
    client = json.dumps({"installed": {"client_id": "1234-mine.apps", "client_secret": "plant-secret"}})
    async with visit("accounts") as seen:
        seen.refused = {400}
        await seen.button("Add an account").first.click()
        await seen.page.locator("[data-provider=gemini]").click()
        box = seen.page.locator("dialog")
        await box.get_by_text("Name, project and OAuth client").click()
        await box.get_by_label("Project").first.fill("my-project")
        text = box.get_by_label("OAuth client", exact=True)
        await text.fill('{"installed": {}}')
        await box.locator("[data-way=browser]").click()
        await expect(box.get_by_role("alert")).to_contain_text("The file has no client_id.")
        await text.fill(client)
        await box.locator("[data-way=browser]").click()
        link = seen.page.get_by_role("link", name="Open the provider's page")
        await expect(link).to_have_attribute("href", re.compile("client_id=1234-mine.apps"))
        (login,) = (await seen.mux.ask("GET", "/logins"))["logins"]
        assert (login["provider"], login["way"]) == ("gemini", "browser")
        await seen.page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def issuer(node_tools: pathlib.Path) -> Iterator[Oidc]:
    with oidc(node_tools) as running:
        yield running


def corp(issuer: Oidc) -> dict[str, Any]:
    facts = {"issuer": issuer.url, "client-id": "llm-mux", "poll-s": 0.2}
    return {"providers": [{"type": "oauth", "id": "corp", "base-url": "http://127.0.0.1:1/v1", "oauth": facts}]}


async def begin(seen: Any, way: str) -> Page:
    """Begins a login in the page and follows its link, as a person would."""
    await seen.button("Add an account").first.click()
    await seen.page.locator("[data-provider=corp]").click()
    await seen.page.locator(f"dialog [data-way={way}]").click()
    async with seen.page.context.expect_page() as opened:
        await seen.page.get_by_role("link", name="Open the provider's page").click()
    return await opened.value


async def sign_in(there: Page) -> None:
    """Fills in the provider's forms, as a person would, until there are none."""
    button = there.locator("[type=submit]").first
    for _ in range(8):
        await there.wait_for_load_state()
        if not await button.count():
            return
        for name, value in (("login", "ada"), ("password", "not checked there")):
            if await there.locator(f"input[name={name}]").count():
                await there.fill(f"input[name={name}]", value)
        async with there.expect_navigation():
            await button.click()
    raise AssertionError(f"still a form at {there.url}")


@pytest.mark.node
async def test_one_logs_in_at_a_real_openid_provider_from_the_browser(visit: Seen, issuer: Oidc) -> None:
    async with visit("accounts", corp(issuer)) as seen:
        there = await begin(seen, "browser")
        await sign_in(there)
        await expect(account(seen, "corp/ada@corp.example")).to_contain_text("login")
        await expect(seen.page.locator("dialog")).to_have_count(0)
        await seen.says("corp/ada@corp.example is in use.").to_be_visible()
        assert issuer.grants("authorization_code")


@pytest.mark.node
async def test_one_logs_in_with_a_code_that_is_typed_at_the_provider(visit: Seen, issuer: Oidc) -> None:
    async with visit("accounts", corp(issuer)) as seen:
        there = await begin(seen, "device")
        typed = str(await seen.page.locator("[data-code]").text_content())
        assert await there.locator("input[name=user_code]").get_attribute("value") == typed
        await sign_in(there)
        await expect(account(seen, "corp/ada@corp.example")).to_contain_text("login")


@pytest.mark.node
async def test_a_login_that_is_left_is_called_off(visit: Seen, issuer: Oidc) -> None:
    async with visit("accounts", corp(issuer)) as seen:
        await begin(seen, "browser")
        await seen.page.bring_to_front()
        await seen.button("Close").click()
        await expect(seen.page.locator("dialog")).to_have_count(0)
        async with seen.page.expect_response(lambda answer: "/v0/management/accounts" in answer.url):
            pass
        (login,) = (await seen.mux.ask("GET", "/logins"))["logins"]
        assert (login["state"], login["account"]) == ("cancelled", None)
