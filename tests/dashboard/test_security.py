"""Other pages in the same browser, where somebody is signed in: they read nothing, change nothing and spend nothing. And
what strangers wrote is shown as text."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from tests.dashboard.browser import PAGES, chromium
from tests.dashboard.conftest import Seen
from tests.server.management import ROOT, Managed, managed

EVIL = "evil.example"
TEXT = "port: 0\nhost: 127.0.0.1\ndiscover: false\n# as it was\n"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
READS = [
    f"{ROOT}{path}"
    for path in ("/config", "/config.yaml", "/session", "/requests", "/api-keys", "/logs", "/accounts", "/sessions")
]
CHANGES = [
    ("PUT", "/debug", '{"value": true}'),
    ("PUT", "/capture", '{"value": true}'),
    ("PUT", "/config.yaml", "port: 0\nstrict: true\n"),
    ("POST", "/reload", ""),
    ("POST", "/session", ""),
    ("DELETE", "/session", ""),
    ("DELETE", "/logs", ""),
    ("PUT", "/api-keys", '{"name": "mine"}'),
    ("PUT", "/routes", '{"aliases": {"demo": "demo-500"}}'),
    ("POST", "/billing/credit", '{"user": "me", "amount": "1000"}'),
    ("DELETE", "/sessions", ""),
    ("POST", "/logins", '{"provider": "codex", "agree": true}'),
]
FETCHED = """
async ({url, method, body, headers, mode}) => {
    try {
        const options = {method, headers, mode, credentials: "include"};
        if (body) options.body = body;
        const answer = await fetch(url, options);
        return {status: answer.status, text: await answer.text()};
    } catch (error) {
        return {status: 0, text: ""};
    }
}
"""


@contextlib.asynccontextmanager
async def somebody_elses_page() -> AsyncIterator[int]:
    """A server that shows an empty page at every address; its port."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Kittens</title><body></body>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def rebound() -> AsyncIterator[Browser]:
    """A browser for which the name of a stranger leads to this machine."""
    async with chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as browser:
        yield browser


@contextlib.asynccontextmanager
async def signed_in(browser: Browser, mux: Managed) -> AsyncIterator[tuple[BrowserContext, Page]]:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{mux.url}/")
    await page.get_by_label("Management key").fill(mux.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector("main[data-page=home][data-ready]")
    try:
        yield context, page
    finally:
        await context.close()


async def fetched(page: Page, url: str, method: str = "GET", body: str = "", **more: Any) -> dict[str, Any]:
    asked = {"url": url, "method": method, "body": body, "headers": {}, "mode": "cors", **more}
    found: dict[str, Any] = await page.evaluate(FETCHED, asked)
    return found


async def state(mux: Managed) -> tuple[Any, ...]:
    """What a stranger would like to change."""
    keys = (await mux.ask("GET", "/api-keys"))["keys"]
    aliases = await mux.ask("GET", "/aliases")
    switches = [(await mux.ask("GET", path))["value"] for path in ("/debug", "/capture")]
    rest = [await mux.ask("GET", path) for path in ("/billing/balances", "/logins")]
    return mux.file.read_text(encoding="utf-8"), keys, aliases, switches, rest


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", EVIL])
async def test_a_hostile_page_reads_and_changes_nothing(rebound: Browser, tmp_path: pathlib.Path, host: str) -> None:
    """From another port of the same host the browser sends the cookie along: it has to be worth nothing there."""
    async with (
        managed(tmp_path / "home", TEXT) as mux,
        somebody_elses_page() as port,
        signed_in(rebound, mux) as (context, own),
    ):
        token = await own.evaluate("() => localStorage.getItem('llm-mux.session')")
        before = await state(mux)
        page = await context.new_page()
        await page.goto(f"http://{host}:{port}/")
        assert await page.evaluate("() => localStorage.length") == 0
        for path in READS:
            for mode in ("cors", "no-cors"):
                assert (await fetched(page, f"{mux.url}{path}", mode=mode))["text"] == "", path
        for method, path, body in CHANGES:
            url = f"{mux.url}{ROOT}{path}"
            await fetched(page, url, method, body)
            await fetched(page, url, method, body, headers={"X-CSRF-Token": token, "Content-Type": "application/json"})
            if method == "POST":
                await fetched(page, url, method, body, mode="no-cors", headers={"Content-Type": "text/plain"})
                await _by_form(page, url)
                await page.goto(f"http://{host}:{port}/")
        assert await state(mux) == before
        assert (await fetched(own, f"{ROOT}/session", headers={"X-CSRF-Token": token}))["status"] == 200, (
            "still signed in"
        )


async def _by_form(page: Page, url: str) -> None:
    """A form needs no permission to be sent anywhere; the answer takes the page's place."""
    script = """url => {
        const form = document.createElement("form");
        form.method = "POST"; form.action = url; form.enctype = "text/plain";
        document.body.append(form); form.submit();
    }"""
    async with page.expect_navigation():
        await page.evaluate(script, url)
    assert "error" in await page.inner_text("body")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", EVIL])
async def test_a_hostile_page_follows_no_stream_and_frames_nothing(
    rebound: Browser, tmp_path: pathlib.Path, host: str
) -> None:
    async with (
        managed(tmp_path / "home", TEXT) as mux,
        somebody_elses_page() as port,
        signed_in(rebound, mux) as (context, _),
    ):
        page = await context.new_page()
        await page.goto(f"http://{host}:{port}/")
        for path in ("/requests/live", "/logs/live"):
            streamed = await page.evaluate(
                """url => new Promise(done => {
                    const source = new EventSource(url, {withCredentials: true});
                    source.onopen = source.onmessage = () => done("open");
                    source.onerror = () => done("refused");
                })""",
                f"{mux.url}{ROOT}{path}",
            )
            assert streamed == "refused", path
        framed = await page.evaluate(
            """url => new Promise(done => {
                const frame = document.createElement("iframe");
                frame.onload = () => done(frame.contentDocument === null);
                frame.src = url; document.body.append(frame);
            })""",
            f"{mux.url}/",
        )
        assert framed is True, "nothing of it can be reached"
        inside = page.frames[-1]
        assert await inside.locator("main").count() == 0, "it was not shown there"


async def test_a_page_of_the_internet_spends_nothing(rebound: Browser, tmp_path: pathlib.Path) -> None:
    async with (
        managed(tmp_path / "home", TEXT) as mux,
        somebody_elses_page() as port,
        signed_in(rebound, mux) as (context, _),
    ):
        page = await context.new_page()
        await page.goto(f"http://{EVIL}:{port}/")
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
            for mode in ("cors", "no-cors"):
                assert (await fetched(page, f"{mux.url}{path}", "POST", json.dumps(CHAT), mode=mode))["text"] == ""
        socket = await page.evaluate(
            """url => new Promise(done => {
                const socket = new WebSocket(url);
                socket.onopen = () => done("open");
                socket.onerror = () => done("refused");
            })""",
            f"{mux.url.replace('http', 'ws', 1)}/v1/responses",
        )
        assert socket == "refused"
        assert (await mux.ask("GET", "/requests"))["requests"] == []


async def test_a_name_that_is_rebound_to_this_machine_shows_and_manages_nothing(
    rebound: Browser, tmp_path: pathlib.Path
) -> None:
    """The stranger's page and the daemon are one origin to the browser then; the name in `Host` gives it away."""
    async with managed(tmp_path / "home", TEXT) as mux, signed_in(rebound, mux) as (context, own):
        token = await own.evaluate("() => localStorage.getItem('llm-mux.session')")
        port = mux.url.rpartition(":")[2]
        page = await context.new_page()
        answer = await page.goto(f"http://{EVIL}:{port}/")
        assert answer is not None
        assert answer.status == 403
        assert "allowed-hosts" in await page.inner_text("body")
        for path in (*READS, "/v1/models", "/openapi.json", "/health"):
            found = await fetched(page, path, headers={"X-Management-Key": mux.key, "X-CSRF-Token": token})
            assert found["status"] == 403, path
            assert "host_not_allowed" in found["text"]
        found = await fetched(page, "/v1/chat/completions", "POST", '{"model": "demo", "messages": []}')
        assert found["status"] == 403


async def test_the_browser_keeps_no_key_and_no_script_reads_the_cookie(
    rebound: Browser, tmp_path: pathlib.Path
) -> None:
    async with managed(tmp_path / "home", TEXT) as mux, signed_in(rebound, mux) as (context, page):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.reload()
        await page.wait_for_selector("main[data-page=home][data-ready]")
        assert asked
        assert not [url for url in asked if mux.key in url]
        (cookie,) = await context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert await page.evaluate("() => document.cookie") == ""
        kept = await page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])")
        assert mux.key not in kept
        assert cookie.get("value", "x") not in kept
        assert mux.key not in await page.content()


LABEL = "<img src=x onerror=window.hacked=1>"
MARKUP = '<img src=x onerror="window.hacked=1">'
SCRIPT = "<script>window.hacked=1</script>"


async def test_what_strangers_wrote_is_shown_as_text(visit: Seen) -> None:
    """In names of models, aliases, accounts and keys, in prompts, in answers, in the log."""
    config = {
        "capture": True,
        "request-retry": 0,
        "providers": [
            {
                "id": "lab",
                "type": "openai-compatible",
                "base-url": "http://127.0.0.1:1/v1",
                "api-keys": ["k1"],
                "models": [f"m {MARKUP}", "'\"><svg/onload=window.hacked=1>"],
            }
        ],
        "aliases": {"alias<img/src=x/onerror=window.hacked=1>": "demo"},
        "fallbacks": {"fall<img/src=x/onerror=window.hacked=1>": [f"m {MARKUP}"]},
    }
    async with visit(None, yaml.safe_dump({"port": 0, "discover": False, **config})) as seen:
        seen.refused = {404}
        await seen.sign_in()
        account = {"provider": "lab", "key": "k2", "label": LABEL, "check": False}
        await seen.mux.ask("POST", "/accounts", json=account)
        await seen.mux.ask("PUT", "/api-keys", json={"name": f"key {MARKUP}", "user": SCRIPT})
        made = []
        for model in (f"m {MARKUP}", f"none {SCRIPT}", "demo"):
            body = {"model": model, "messages": [{"role": "user", "content": f"say {SCRIPT} {MARKUP}"}]}
            async with seen.mux.bare.post("/v1/chat/completions", json=body) as answer:
                made.append(answer.headers["X-Request-ID"])
        shown = ""
        for page in (*PAGES, *(f"inspector/{name}" for name in made)):
            await seen.open("" if page == "home" else page)
            shown += await seen.page.locator("body").inner_text()
            for selector in ("img[src='x']", "main script", "svg[onload]"):
                assert await seen.page.locator(selector).count() == 0, (page, selector)
            assert await seen.page.evaluate("() => window.hacked") is None, page
        for written in (LABEL, MARKUP, SCRIPT):
            assert written in shown, written
