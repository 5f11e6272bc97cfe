"""Logins that are driven over the management API, against a login server of our own."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from llm_mux.auth.logins import find_login
from tests.fake_upstream import FakeUpstream, json_reply
from tests.providers.test_google import KEY, key_file
from tests.server.management import Managed, managed
from tests.upstreams.google import GoogleBackend

TOKEN = {"access_token": "plant-access", "refresh_token": "plant-refresh", "expires_in": 3600, "token_type": "Bearer"}
DEVICE = {"device_code": "plant-device", "user_code": "ABCD-EFGH", "verification_uri": "https://x.example/device"}
PENDING = json_reply({"error": "authorization_pending"}, 400)


@pytest.fixture
async def corp() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as made:
        made.on("/device", json_reply({**DEVICE, "expires_in": 600, "interval": 0}))
        made.on("*", json_reply({"object": "list", "data": [{"id": "m", "object": "model"}]}))
        yield made


def config(corp: FakeUpstream) -> dict[str, Any]:
    oauth = {
        "client-id": "mux",
        "device-url": f"{corp.url}/device",
        "token-url": f"{corp.url}/token",
        "authorize-url": f"{corp.url}/authorize",
        "poll-s": 0.01,
    }
    entry = {"type": "oauth", "id": "corp", "base-url": f"{corp.url}/v1", "oauth": oauth}
    return {"providers": [entry]}


async def progress(mux: Managed, id: str, until: Callable[[Any], bool]) -> Any:
    """The login once it is as wished; it is asked again for ten seconds."""
    async with asyncio.timeout(10):
        while not until(found := await mux.ask("GET", f"/logins/{id}")):
            await asyncio.sleep(0.02)
    return found


async def test_a_device_login_shows_its_code_and_becomes_an_account(tmp_path: pathlib.Path, corp: FakeUpstream) -> None:
    corp.on("/token", PENDING, PENDING, json_reply(TOKEN))
    async with managed(tmp_path, config(corp)) as mux:
        begun = await mux.ask(
            "POST", "/logins", json={"provider": "corp", "way": "device", "label": "me", "agree": True}
        )
        assert {"text": "", "url": "https://x.example/device", "code": "ABCD-EFGH"} in begun["steps"]
        done = await progress(mux, begun["id"], lambda now: now["state"] == "done")
        assert (done["account"], done["error"], done["wanted"]) == ("corp/me", None, None)
        assert "plant" not in str(done)
        stored = find_login(mux.store, "corp", "me")
        assert stored is not None
        assert (stored.credential.access, stored.credential.way) == ("plant-access", "device")
        (account,) = (await mux.ask("GET", "/accounts"))["accounts"][:1]
        assert (account["name"], account["origin"], account["state"]) == ("corp/me", "login", "ready")
        assert (await mux.ask("POST", "/accounts/corp/me/test"))["ok"] is True
        assert corp.requests[-1].headers["authorization"] == "Bearer plant-access"
        assert [each["id"] for each in (await mux.ask("GET", "/logins"))["logins"]] == [begun["id"]]


@pytest.mark.parametrize("pasted", [False, True], ids=["the browser returns", "its address is pasted"])
async def test_a_browser_login_takes_the_return_or_what_is_pasted(
    tmp_path: pathlib.Path, corp: FakeUpstream, pasted: bool
) -> None:
    corp.on("/token", json_reply(TOKEN))
    async with managed(tmp_path, config(corp)) as mux:
        begun = await mux.ask("POST", "/logins", json={"provider": "corp", "way": "browser", "agree": True})
        asked = await progress(mux, begun["id"], lambda now: now["state"] == "waiting")
        assert asked["wanted"]["browser"] is True
        (url,) = (step["url"] for step in asked["steps"] if step["url"])
        sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        back = f"{sent['redirect_uri']}?code=plant-code&state={sent['state']}"
        if pasted:
            await mux.ask("POST", f"/logins/{begun['id']}/reply", json={"text": back})
        else:
            async with aiohttp.ClientSession() as browser, browser.get(back) as page:
                assert page.status == 200
        done = await progress(mux, begun["id"], lambda now: now["state"] not in ("running", "waiting"))
        assert (done["state"], done["error"]) == ("done", None)
        assert done["account"].startswith("corp/")
        await mux.ask("POST", f"/logins/{begun['id']}/reply", status=409, json={"text": "more"})


async def test_a_login_is_called_off_and_lets_go_of_its_port(tmp_path: pathlib.Path, corp: FakeUpstream) -> None:
    async with managed(tmp_path, config(corp)) as mux:
        begun = await mux.ask("POST", "/logins", json={"provider": "corp", "way": "browser", "agree": True})
        asked = await progress(mux, begun["id"], lambda now: now["state"] == "waiting")
        (url,) = (step["url"] for step in asked["steps"] if step["url"])
        port = urlsplit(parse_qs(urlsplit(url).query)["redirect_uri"][0]).port
        for wrong in ({}, {"text": "a", "yes": True}, {"yes": 1}, {"nothing": 1}):
            await mux.ask("POST", f"/logins/{begun['id']}/reply", status=400, json=wrong)
        await mux.ask("POST", f"/logins/{begun['id']}/reply", status=409, json={"yes": True})
        assert (await mux.ask("DELETE", f"/logins/{begun['id']}"))["state"] == "cancelled"
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert mux.store.names() == ["management-key"]


async def test_a_login_that_its_server_refuses_says_why(tmp_path: pathlib.Path, corp: FakeUpstream) -> None:
    corp.on("/token", json_reply({"error": "access_denied"}, 400))
    async with managed(tmp_path, config(corp)) as mux:
        begun = await mux.ask("POST", "/logins", json={"provider": "corp", "way": "device", "agree": True})
        failed = await progress(mux, begun["id"], lambda now: now["state"] == "failed")
        assert failed["error"]
        assert failed["account"] is None


async def test_what_cannot_be_logged_in_to_is_refused(tmp_path: pathlib.Path, corp: FakeUpstream) -> None:
    async with managed(tmp_path, config(corp)) as mux:
        await mux.ask("POST", "/logins", status=404, json={"provider": "no-such"})
        await mux.ask("POST", "/logins", status=400, json={"provider": "corp", "way": "carrier-pigeon"})
        await mux.ask("POST", "/logins", status=400, json={"provider": "groq"})
        await mux.ask("GET", "/logins/login_x", status=404)
        await mux.ask("DELETE", "/logins/login_x", status=404)


async def test_a_warning_has_to_be_agreed_to_before_anything_is_sent(
    tmp_path: pathlib.Path, corp: FakeUpstream
) -> None:
    async with managed(tmp_path, config(corp)) as mux:
        warned = [
            (provider["name"], way["way"], way["warning"])
            for provider in (await mux.ask("GET", "/providers"))["providers"]
            for way in provider["logins"]
            if way["warning"] and way["way"] in ("browser", "device")
        ]
        assert warned
        name, way, warning = warned[0]
        error = await mux.ask("POST", "/logins", status=409, json={"provider": name, "way": way})
        assert (error["error"]["code"], error["detail"]) == ("agreement_needed", warning)
        assert not corp.requests


async def test_only_so_many_logins_run_at_once(tmp_path: pathlib.Path, corp: FakeUpstream) -> None:
    corp.on("/token", PENDING)
    async with managed(tmp_path, config(corp)) as mux:
        wish = {"provider": "corp", "way": "browser", "agree": True}
        ids = [(await mux.ask("POST", "/logins", json=wish))["id"] for _ in range(8)]
        error = await mux.ask("POST", "/logins", status=409, json=wish)
        assert error["error"]["code"] == "too_many_logins"
        await mux.ask("DELETE", f"/logins/{ids[0]}")
        await mux.ask("POST", "/logins", json=wish)


async def test_a_key_file_is_imported_as_the_login_that_it_is(tmp_path: pathlib.Path) -> None:
    """One import takes two kinds of files; what renews the login later has to be that of the file's kind."""
    async with GoogleBackend() as google, managed(tmp_path) as mux:
        google.public_key = KEY
        text = key_file(google, project_id="")
        wish = {"provider": "vertex", "way": "adc", "label": "bot", "text": text}
        begun = await mux.ask("POST", "/logins", json=wish)
        failed = await progress(mux, begun["id"], lambda now: now["state"] == "failed")
        assert "project" in failed["error"]
        begun = await mux.ask("POST", "/logins", json={**wish, "extra": {"project": "mine"}})
        done = await progress(mux, begun["id"], lambda now: now["state"] not in ("running", "waiting"))
        assert (done["account"], done["error"]) == ("vertex/bot", None)
        stored = find_login(mux.store, "vertex", "bot")
        assert stored is not None
        assert (stored.credential.way, stored.credential.extra["project"]) == ("service-account", "mine")
        shown = {each["name"]: each["logins"] for each in (await mux.ask("GET", "/providers"))["providers"]}
        assert [(way["way"], way["starts"], way["imports"], way["wants"]) for way in shown["vertex"]] == [
            ("adc", False, True, ["project", "location"])
        ]


async def test_one_signs_in_with_an_oauth_client_of_ones_own(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        own = {"installed": {"client_id": "1234-mine.apps", "client_secret": "plant-client"}}
        wish = {"provider": "gemini", "way": "browser", "extra": {"project": "p"}, "text": json.dumps(own)}
        begun = await mux.ask("POST", "/logins", json=wish)
        asked = await progress(mux, begun["id"], lambda now: now["state"] == "waiting")
        (url,) = (step["url"] for step in asked["steps"] if step["url"])
        assert parse_qs(urlsplit(url).query)["client_id"] == ["1234-mine.apps"]
        assert "plant" not in str(asked)
        await mux.ask("DELETE", f"/logins/{begun['id']}")
        for wrong in ({"web": {"client_id": "x", "client_secret": "y"}}, {"installed": {}}):
            refused = await mux.ask("POST", "/logins", status=400, json={**wish, "text": json.dumps(wrong)})
            assert "client" in refused["error"]["message"]
