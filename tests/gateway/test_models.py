"""Model lists: asked when needed, one round at a time, kept on disk, stale rather than nothing."""

import asyncio
import dataclasses
import pathlib
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from llm_mux.gateway.models import ModelLists
from llm_mux.gateway.upstream import Upstream, open_upstream
from llm_mux.providers import registry
from llm_mux.providers.base import Provider
from llm_mux.routing.accounts import PASSTHROUGH, Account
from llm_mux.routing.catalog import Offer
from llm_mux.translators.base import ModelInfo
from tests.fake_upstream import FakeUpstream, Reply, json_reply

PATH = "/v1/models"


def listing(*ids: str) -> Reply:
    return json_reply({"object": "list", "data": [{"id": id, "object": "model"} for id in ids]})


@pytest.fixture
async def client() -> AsyncIterator[Upstream]:
    upstream = open_upstream(environment_proxies=False)
    yield upstream
    await upstream.close()


def account(upstream: FakeUpstream, name: str = "up", key: str = "key", **more: object) -> Account:
    provider: Provider = replace(
        registry.get("openai-compatible"),
        name=name,
        base_url=f"{upstream.url}/v1",
        **more,  # type: ignore[arg-type]
    )
    return Account(provider, "a", key)


def ids(lists: ModelLists, provider: str = "up") -> list[str]:
    return [model.id for model in lists.of(provider)]


async def test_a_list_is_kept_on_disk_and_read_without_the_network(tmp_path: pathlib.Path, client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, listing("a", "b"))
        own = account(upstream)
        first = ModelLists(tmp_path)
        first.known([own])
        assert ids(first) == []
        await first.refresh([own], client)
        assert ids(first) == ["a", "b"]
        again = ModelLists(tmp_path)
        again.known([own])
        assert ids(again) == ["a", "b"]
        await again.refresh([own], client)
        assert len(upstream.requests) == 1, "a fresh list is not asked for again"
        await again.refresh([own], client, force=True)
        assert len(upstream.requests) == 2
        assert upstream.last.headers["Authorization"] == "Bearer key"


async def test_another_address_has_another_list(tmp_path: pathlib.Path, client: Upstream) -> None:
    async with FakeUpstream() as upstream, FakeUpstream() as moved:
        upstream.on(PATH, listing("a"))
        lists = ModelLists(tmp_path)
        await lists.refresh([account(upstream)], client)
        other = ModelLists(tmp_path)
        other.known([account(moved)])
        assert ids(other) == []


BAD = [
    pytest.param(Reply(b"", 500), id="a 500"),
    pytest.param(json_reply({"error": {"message": "bad key"}}, 401), id="a 401"),
    pytest.param(Reply(b"<html>", content_type="text/html"), id="html"),
    pytest.param(Reply(b""), id="nothing"),
    pytest.param(Reply(b"null"), id="null"),
    pytest.param(json_reply({"data": 5}), id="a number"),
    pytest.param(json_reply({"data": [{"name": "no id"}, 7, None]}), id="entries of other kinds"),
    pytest.param(json_reply({"data": []}), id="an empty list"),
    pytest.param(json_reply({}), id="no list"),
    pytest.param(Reply(b"\xff\xfe"), id="not utf-8"),
]


@pytest.mark.parametrize("bad", BAD)
async def test_a_failure_keeps_the_old_list(tmp_path: pathlib.Path, client: Upstream, bad: Reply) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, listing("a"), bad)
        own = account(upstream)
        lists = ModelLists(tmp_path)
        await lists.refresh([own], client)
        version = lists.version
        await lists.refresh([own], client, force=True)
        assert len(upstream.requests) == 2
        assert ids(lists) == ["a"]
        assert lists.version == version
        again = ModelLists(tmp_path)
        again.known([own])
        assert ids(again) == ["a"]


async def test_a_failure_is_told_until_the_next_success(client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, json_reply({"error": {"message": "bad key"}}, 401), listing("a"))
        lists, own = ModelLists(None), account(upstream)
        await lists.refresh([own], client)
        assert "bad key" in lists.errors["up"]
        await lists.refresh([own], client)
        assert len(upstream.requests) == 1, "who refused is left alone for a while"
        await lists.refresh([own], client, force=True)
        assert lists.errors == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"at": "x"}'])
async def test_a_damaged_file_counts_as_none(tmp_path: pathlib.Path, client: Upstream, content: bytes) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, listing("a"))
        own = account(upstream)
        await ModelLists(tmp_path).refresh([own], client)
        (file,) = tmp_path.iterdir()
        file.write_bytes(content)
        lists = ModelLists(tmp_path)
        lists.known([own])
        assert ids(lists) == []
        await lists.refresh([own], client)
        assert ids(lists) == ["a"]


async def test_rounds_run_one_at_a_time(client: Upstream) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on(PATH, dataclasses.replace(listing("a"), before=go))
        lists, own = ModelLists(None), account(upstream)
        waiting = [asyncio.ensure_future(lists.refresh([own], client, force=True)) for _ in range(5)]
        await upstream.arrived.wait()
        waiting[0].cancel()
        go.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[0].cancelled()
        assert len(upstream.requests) == 1
        assert ids(lists) == ["a"], "whoever leaves takes nothing from the others"


async def test_accounts_of_one_provider_share_its_list_and_stand_in_for_each_other(client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, json_reply({"error": {"message": "bad key"}}, 401), listing("a"))
        lists = ModelLists(None)
        await lists.refresh([account(upstream), account(upstream, key="good"), account(upstream)], client)
        assert [r.headers["Authorization"] for r in upstream.requests] == ["Bearer key", "Bearer good"]
        assert ids(lists) == ["a"]
        assert lists.errors == {}


async def test_one_provider_that_is_down_does_not_keep_the_others_away(client: Upstream) -> None:
    async with FakeUpstream() as upstream, FakeUpstream() as down:
        upstream.on(PATH, listing("a"))
        gone = account(down, "gone")
        await down.__aexit__()
        lists = ModelLists(None)
        await lists.refresh([gone, account(upstream)], client)
        assert ids(lists) == ["a"]
        assert "gone" in lists.errors["gone"]


async def test_nobody_is_asked_who_cannot_be(client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        known = (ModelInfo("fixed"),)
        lists = ModelLists(None)
        accounts = [
            account(upstream, "none", models_path=None, models=known),
            account(upstream, "pass", key=PASSTHROUGH, models=known),
        ]
        lists.known(accounts)
        await lists.refresh(accounts, client, force=True)
        assert not upstream.requests
        assert ids(lists, "none") == ids(lists, "pass") == ["fixed"]


def test_a_list_fixed_by_the_configuration_stays_as_it_is() -> None:
    lists = ModelLists(None)
    lists.known([Account(replace(registry.get("demo"), name="up", models=(ModelInfo("demo"),)), "a")])
    fixed = Offer("up", listed={"only": ModelInfo("only")}, only_listed=True)
    assert lists.completed(fixed) is fixed
    assert set(lists.completed(Offer("up")).listed) >= {"demo"}
    assert lists.get("up", "demo") is not None
    assert lists.get("up", "nothing") is None


async def test_what_accounts_have_by_their_plans_is_the_providers_list_beside_what_is_asked(
    tmp_path: pathlib.Path, client: Upstream
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, listing("asked"))
        free = account(upstream, models_path=None, models=(ModelInfo("small"),))
        paid = account(upstream, models_path=None, models=(ModelInfo("small"), ModelInfo("large")))
        lists = ModelLists(tmp_path)
        lists.known([free, paid])
        assert ids(lists) == ["small", "large"]
        await lists.refresh([free, paid], client)
        assert ids(lists) == ["small", "large"]
        assert upstream.requests == []
        own = account(upstream)
        for each in (lists, ModelLists(tmp_path)):
            each.known([own, free])
            await each.refresh([own, free], client, force=True)
            assert ids(each) == ["small", "asked"]
