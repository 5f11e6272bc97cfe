"""From configuration, environment and stored keys to accounts and offers."""

import pathlib
import tracemalloc
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from llm_mux.auth.base import Credential
from llm_mux.auth.keys import StoredKey, add_key, keys, resolve
from llm_mux.auth.logins import StoredLogin
from llm_mux.auth.store import SecretStore, open_store
from llm_mux.config import ConfigError, parse
from llm_mux.providers import registry
from llm_mux.server.compose import Fleet, fleet
from tests.daemon import clean_environment, config_text, daemon
from tests.fake_upstream import FakeUpstream, json_reply

LAB = {"type": "openai-compatible", "id": "lab", "base-url": "http://127.0.0.1:9/v1"}


@pytest.fixture
def store(tmp_path: pathlib.Path) -> SecretStore:
    return open_store(env=clean_environment(tmp_path), data_dir=tmp_path)


@pytest.fixture
def compose(store: SecretStore) -> Any:
    def made(config: Mapping[str, Any], env: Mapping[str, str] | None = None, **more: Any) -> Fleet:
        environment = dict(env or {})
        loaded = parse(config_text(config), None, environment)
        return fleet(
            loaded.config, environment, keys(store), secret=lambda text: resolve(text, environment, store), **more
        )

    return made


def shown(made: Fleet) -> list[tuple[str, str]]:
    return [(account.name, account.key) for account in made.accounts]


def test_each_key_of_the_configuration_is_an_account_with_its_own_weight_priority_and_proxy(compose: Any) -> None:
    several = [
        "plain",
        {"key": "weighty", "label": "main", "weight": 3, "priority": 2, "proxy-url": "http://127.0.0.1:1"},
        {"key": "env:TWO_KEYS", "label": "team"},
        "env:TWO_KEYS",
    ]
    entry = {**LAB, "api-keys": several, "proxy-url": "http://127.0.0.1:2", "headers": {"x-team": "blue"}}
    entry |= {"weight": 2, "priority": 1}
    made = compose({"providers": [entry]}, {"TWO_KEYS": "  first\tsecond\n"})
    assert shown(made) == [
        ("lab/key1", "plain"),
        ("lab/main", "weighty"),
        ("lab/team", "first"),
        ("lab/team-2", "second"),
        ("lab/key4", "first"),
        ("lab/key4-2", "second"),
    ]
    main = made.accounts[1]
    assert (main.weight, main.priority, main.proxy_url) == (6, 3, "http://127.0.0.1:1")
    assert made.accounts[0].proxy_url == "http://127.0.0.1:2"
    assert all(account.headers == {"x-team": "blue"} for account in made.accounts)


@pytest.mark.parametrize(
    ("entry", "env", "want"),
    [
        pytest.param({"api-key": "sk-1"}, {}, [("lab/config", "sk-1")], id="a key"),
        pytest.param({"api-key": "env:K"}, {"K": "a b"}, [("lab/config", "a"), ("lab/config-2", "b")], id="two in env"),
        pytest.param({"api-key": "env:K"}, {}, [], id="unset"),
        pytest.param({"api-key": "env:K"}, {"K": "  "}, [], id="blank"),
        pytest.param({"api-keys": ["env:K", "env:L"]}, {"L": "z"}, [("lab/key2", "z")], id="one of two unset"),
        pytest.param({"api-key": "!PASSTHRU"}, {}, [("lab/config", "!PASSTHRU")], id="passthrough"),
        pytest.param(
            {"api-key": "keyring:lab/work"}, {}, [("lab/config", "stored"), ("lab/work", "stored")], id="ring"
        ),
        pytest.param({"api-key": "keyring:nothing"}, {}, [], id="nothing in the keyring"),
        pytest.param({}, {}, [("lab/default", "")], id="a server that needs none"),
    ],
)
def test_a_key_may_live_elsewhere_and_without_one_there_is_no_account(
    compose: Any,
    store: SecretStore,
    entry: dict[str, Any],
    env: dict[str, str],
    want: list[tuple[str, str]],
) -> None:
    if str(entry.get("api-key")).startswith("keyring:lab"):
        add_key(store, "lab", "work", "stored")
    made = compose({"providers": [{**LAB, **entry}]}, env)
    assert shown(made) == want
    assert [offer.provider for offer in made.offers] == ["lab"]


def test_the_id_names_the_provider_and_the_type_still_answers(compose: Any) -> None:
    entry = {"type": "anthropic", "id": "work", "api-key": "k", "excluded-models": ["*-preview"]}
    entry["models"] = [{"name": "claude-sonnet-4-5", "alias": "sonnet"}, "claude-opus-4-5"]
    (offer,) = compose({"providers": [entry]}).offers
    assert offer.answers_to("work")
    assert offer.answers_to("anthropic")
    assert offer.answers_to("claude")
    assert not offer.answers_to("openai")
    assert offer.renamed == {"sonnet": "claude-sonnet-4-5"}
    assert set(offer.listed) == {"claude-sonnet-4-5", "claude-opus-4-5"}
    assert offer.only_listed
    assert offer.excluded == ("*-preview",)


def test_the_format_decides_which_endpoint_generates(compose: Any) -> None:
    def formats(**more: str) -> set[str]:
        (account,) = compose({"providers": [{"type": "openai", "api-key": "k", **more}]}).accounts
        return {e.translator for e in account.provider.endpoints if e.operation == "generate"}

    assert formats() >= {"openai_chat", "openai_responses"}
    assert formats(format="openai-responses") == {"openai_responses"}
    assert formats(format="openai-chat") == {"openai_chat"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param({"type": "openai-compatible", "id": "lab"}, "base-url", id="no address"),
        pytest.param({"type": "azure", "api-key": "k"}, "azure", id="no address of a resource"),
        pytest.param({"type": "openai", "format": "ollama", "api-key": "k"}, "does not speak ollama", id="format"),
    ],
)
def test_what_cannot_work_is_refused_in_words(compose: Any, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        compose({"providers": [entry]})
    assert "Traceback" not in str(caught.value)


def test_keys_of_the_environment_are_found_when_discovery_is_on(compose: Any) -> None:
    env = {"OPENAI_API_KEY": "one two", "ANTHROPIC_API_KEY": " three ", "MISTRAL_API_KEY": "", "GROQ_API_KEY": "\n"}
    made = compose({"discover": True}, env)
    found = {pair for pair in shown(made) if pair[1]}
    assert found == {("openai/env", "one"), ("openai/env-2", "two"), ("anthropic/env", "three")}
    assert {account.provider.name for account in made.accounts} == {"openai", "anthropic", "ollama"}
    (ollama,) = [offer for offer in made.offers if offer.provider == "ollama"]
    assert not ollama.there, "a server that may not be running counts once it has listed a model"
    assert compose({"discover": False}, env).accounts == []


@pytest.mark.parametrize("setting", ["port", "ollama-port"])
def test_a_daemon_on_the_port_of_ollama_does_not_take_itself_for_one(compose: Any, setting: str) -> None:
    assert compose({"discover": True, setting: 11434}).offers == []


async def test_a_local_ollama_is_found_by_itself_also_when_it_starts_later(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream() as upstream:
        there = replace(registry.get("ollama"), base_url=upstream.url)
        monkeypatch.setitem(registry.load(), "ollama", there)
        async with daemon(tmp_path, {"discover": True}) as mux, aiohttp.ClientSession() as client:

            async def names() -> list[str]:
                async with client.get(f"{mux.url}/v1/models?refresh=true") as answer:
                    return [model["id"] for model in (await answer.json())["data"]]

            upstream.on("/api/tags", json_reply({"error": "not yet"}, status=503))
            assert await names() == []
            upstream.on("/api/tags", json_reply({"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]}))
            assert await names() == ["qwen3:8b"]


def test_what_is_configured_is_not_discovered_too(compose: Any) -> None:
    env = {"OPENAI_API_KEY": "from-env"}
    made = compose({"discover": True, "providers": [{"type": "openai", "id": "mine", "api-key": "own"}]}, env)
    assert ("mine/config", "own") in shown(made)
    assert "from-env" not in [key for _, key in shown(made)]


@pytest.mark.parametrize(
    ("entry", "more", "found"),
    [
        ({"type": "openai"}, {}, [("openai/env", "from-env")]),
        ({"type": "openai", "id": "mine", "priority": 5}, {}, [("mine/env", "from-env")]),
        ({"type": "openai"}, {"discover": False}, []),
        ({"type": "openai", "base-url": "https://other.example/v1"}, {}, []),
        ({"type": "openai", "api-key": "env:NOT_THERE"}, {}, []),
        ({"type": "openai", "api-key": "own"}, {}, [("openai/config", "own")]),
    ],
    ids=[
        "as without it",
        "another name",
        "nothing is discovered",
        "another address",
        "a key that is not there",
        "its own",
    ],
)
def test_an_entry_without_a_key_takes_that_of_the_environment(
    compose: Any, entry: dict[str, Any], more: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    made = compose({"discover": True, "providers": [entry], **more}, {"OPENAI_API_KEY": "from-env"})
    assert [pair for pair in shown(made) if pair[1]] == found


def test_stored_keys_join_their_provider_or_make_one(compose: Any, store: SecretStore) -> None:
    add_key(store, "lab", "home", "k1")
    add_key(store, "openai", "default", "k2")
    add_key(store, "openai", "second", "k3", base_url="https://other.example/v1")
    add_key(store, "removed-since", "default", "k4")
    add_key(store, "openai-compatible", "default", "k5")
    made = compose({"providers": [{**LAB, "api-key": "k0"}]})
    assert shown(made) == [
        ("lab/config", "k0"),
        ("lab/home", "k1"),
        ("openai/default", "k2"),
        ("openai/second", "k3"),
    ]
    assert isinstance(keys(store)[0], StoredKey)


def test_a_stored_key_goes_to_the_address_it_was_stored_for_and_no_other(compose: Any, store: SecretStore) -> None:
    add_key(store, "lab", "home", "k1")
    add_key(store, "lab", "office", "k2", base_url="http://127.0.0.1:8/v1")
    add_key(store, "openai", "default", "k3", base_url="https://other.example/v1")
    add_key(store, "openai", "second", "k4")
    made = compose({"providers": [LAB]})
    assert {account.key: account.provider.base_url for account in made.accounts} == {
        "k1": "http://127.0.0.1:9/v1",
        "k2": "http://127.0.0.1:8/v1",
        "k3": "https://other.example/v1",
        "k4": "https://api.openai.com/v1",
    }


def test_a_stored_address_is_used(compose: Any, store: SecretStore) -> None:
    add_key(store, "openai", "default", "k", base_url="https://eu.api.example/v1")
    (account,) = compose({}).accounts
    assert account.provider.base_url == "https://eu.api.example/v1"


def test_the_demo_comes_last_and_only_when_asked_for(compose: Any) -> None:
    assert compose({}).accounts == []
    made = compose({"providers": [{**LAB, "api-key": "k"}]}, demo_url="http://127.0.0.1:9")
    assert [offer.provider for offer in made.offers] == ["lab", "demo"]
    assert made.accounts[-1].priority == -1


def test_a_stored_key_with_the_name_of_a_configured_one_is_refused_by_name(compose: Any, store: SecretStore) -> None:
    add_key(store, "lab", "main", "another")
    entry = {**LAB, "api-keys": [{"key": "k", "label": "main"}]}
    with pytest.raises(ConfigError, match=r"two accounts are called lab/main: .*llm-mux logout lab/main"):
        compose({"providers": [entry]})


@pytest.mark.covers("OP-9")
@pytest.mark.parametrize("provider", ["codex", "anthropic", "xai"])
def test_thousands_of_logins_take_little_memory(provider: str) -> None:
    many, config = 2800, parse(config_text({}), None, {}).config
    way = registry.get(provider).logins[0].way
    stored = [
        StoredLogin(provider, f"a{n}", Credential(way=way, access=f"at-{n}", refresh=f"rt-{n}", expires=2e9, id=f"{n}"))
        for n in range(many)
    ]
    tracemalloc.start()
    made = fleet(config, {}, (), logins=stored, secret=lambda text: [text])
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(made.accounts) == many
    assert taken / many < 4000, "bytes each, beside the login itself"
