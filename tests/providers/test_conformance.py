"""What every registered provider must hold, run on a new one unasked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec.structs import fields

from llm_mux import __version__, ir
from llm_mux.errors import Kind
from llm_mux.providers import registry
from llm_mux.providers.base import Endpoint, Provider, fill, url_of
from llm_mux.providers.document import markdown, page
from llm_mux.providers.placement import placed
from llm_mux.routing.accounts import Account
from llm_mux.translators import registry as translators
from llm_mux.translators.anthropic.quirks import Quirks as MessagesQuirks
from llm_mux.translators.base import Target
from llm_mux.translators.gemini.quirks import Quirks as GeminiQuirks
from llm_mux.translators.ollama.quirks import Quirks as OllamaQuirks
from llm_mux.translators.openai_chat.quirks import Quirks as ChatQuirks
from llm_mux.translators.openai_responses.quirks import Quirks as ResponsesQuirks

ROOT = Path(__file__).parents[2]
PROVIDERS = registry.load(plugins=False)
SECRET = "sk-not-a-real-key-0123456789"
SOMEWHERE = "https://llm.example.com"
QUIRKS = {
    "openai_chat": ChatQuirks,
    "openai_responses": ResponsesQuirks,
    "anthropic": MessagesQuirks,
    "gemini": GeminiQuirks,
    "ollama": OllamaQuirks,
}

every = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)


def at_home(provider: Provider) -> Provider:
    """The provider at its usual place, or somewhere when it has none."""
    return provider if provider.base_url else placed(provider, base_url=SOMEWHERE)


def endpoints() -> Iterator[Any]:
    for name, provider in PROVIDERS.items():
        for number, endpoint in enumerate(at_home(provider).endpoints):
            yield pytest.param(at_home(provider), endpoint, id=f"{name}-{number}-{endpoint.translator}")


each_endpoint = pytest.mark.parametrize(("provider", "endpoint"), list(endpoints()))


@every
def test_a_provider_is_known_by_its_own_name(provider: Provider) -> None:
    assert registry.get(provider.name) is provider
    assert re.fullmatch(r"[a-z][a-z0-9-]*", provider.name)
    assert provider.title


@every
def test_the_terms_are_said_in_plain_words(provider: Provider) -> None:
    assert provider.allows.endswith(".")
    assert provider.keyless or not provider.takes_keys or provider.key_url.startswith("https://")


# What these say is about the API; whatever else a provider sends of itself must be llm-mux's own name.
ABOUT_THE_API = {"accept", "anthropic-version", "anthropic-beta", "x-github-api-version", "x-dashscope-cachecontrol"}


@every
def test_nothing_that_is_sent_unasked_names_another_program(provider: Provider) -> None:
    sent = [
        provider.headers,
        *(each.headers for each in provider.endpoints),
        *(x.oauth.headers for x in provider.logins),
    ]
    told = {(name.lower(), value) for headers in sent for name, value in headers.items()}
    ours = {"llm-mux", __version__, f"llm-mux/{__version__}"}
    assert {each for each in told if each[0] not in ABOUT_THE_API and each[1] not in ours} == set()
    assert not any(provider.options.get(name) for name in ("integration-id", "originator", "user-agent"))


@every
def test_a_login_through_a_vendors_own_app_is_agreed_to_first(provider: Provider) -> None:
    for login in provider.logins:
        if login.oauth.client_id:
            assert "llm-mux" in login.warning, f"{provider.name} {login.way}: say whose app it is and who we are"
            assert "--api-key" in login.warning, f"{provider.name} {login.way}: offer the key"


@every
def test_a_base_url_is_complete_and_has_no_end_to_double(provider: Provider) -> None:
    for url in (provider.base_url, *(e.base_url for e in provider.endpoints)):
        if url:
            parts = urlsplit(url)
            local = parts.hostname in ("127.0.0.1", "localhost")
            assert parts.scheme == "https" or local
            assert not url.endswith("/")
            assert not parts.query


@every
def test_a_provider_without_a_place_of_its_own_asks_for_one(provider: Provider) -> None:
    if provider.base_url:
        assert placed(provider).base_url == provider.base_url
    else:
        with pytest.raises(ValueError, match="needs a base-url"):
            placed(provider)


@every
def test_the_key_is_in_a_header_and_nowhere_in_a_repr(provider: Provider) -> None:
    auths = {provider.auth, *(e.auth for e in provider.endpoints if e.auth is not None)}
    for auth in auths:
        headers = auth(SECRET)
        assert any(SECRET in value for value in headers.values())
        assert all(name == name.lower() for name in headers)
        assert auth(SECRET) != auth("another")
    account = Account(provider, "work", SECRET, headers={"x-more": SECRET})
    assert SECRET not in repr(account)
    assert SECRET not in repr(provider)


@every
def test_servers_that_need_no_key_send_none(provider: Provider) -> None:
    if provider.keyless:
        assert dict(provider.auth("")) == {}


@every
def test_header_names_are_lower_case(provider: Provider) -> None:
    names = [*provider.headers, *provider.forwards, *(name for e in provider.endpoints for name in e.headers)]
    assert [name for name in names if name != name.lower()] == []


@every
def test_environment_names_belong_to_one_provider_and_to_the_purpose(provider: Provider) -> None:
    for name in (*provider.env, *provider.env_url):
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", name)
        owners = [other.name for other in PROVIDERS.values() if name in (*other.env, *other.env_url)]
        assert owners == [provider.name]
    assert "GITHUB_TOKEN" not in provider.env


@every
def test_a_vendor_can_be_found_by_the_environment_or_needs_no_key(provider: Provider) -> None:
    assert provider.env or provider.keyless or provider.logins


@every
def test_the_translator_of_the_model_list_reads_model_lists(provider: Provider) -> None:
    assert callable(translators.get(provider.models_translator).decode_models)
    if provider.models_path is not None:
        assert provider.models_path.startswith("/")
    assert provider.check_path is None or provider.check_path == "" or provider.check_path.startswith("/")


@every
def test_a_provider_generates(provider: Provider) -> None:
    for protocol in ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama", "openai_completions"):
        found = provider.endpoint_for("some-model", protocol, "generate")
        assert found is not None
        spoken = {e.translator for e in provider.endpoints if e.operation == "generate"}
        picked = provider.picks("some-model", provider.endpoints, b"") if provider.picks else provider.endpoints
        if protocol in spoken and any(e.translator == protocol for e in picked):
            assert found.translator == protocol


@each_endpoint
def test_an_endpoint_has_a_translator_that_can_do_its_operation(provider: Provider, endpoint: Endpoint) -> None:
    assert endpoint.translator in translators.names()
    translator = translators.get(endpoint.translator)
    assert endpoint.operation != "embed" or translator.embedder is not None
    assert endpoint.operation != "count" or translator.counter is not None
    assert (endpoint.operation == "complete") == (endpoint.translator == "openai_completions")


@each_endpoint
def test_quirks_belong_to_the_translator(provider: Provider, endpoint: Endpoint) -> None:
    if endpoint.quirks is not None:
        assert isinstance(endpoint.quirks, QUIRKS[endpoint.translator])


@each_endpoint
def test_an_endpoint_gives_one_clean_url_for_any_model_id(provider: Provider, endpoint: Endpoint) -> None:
    for path in filter(None, (endpoint.path, endpoint.stream_path)):
        url = url_of(provider, path, "vendor/model:tag?x", dict.fromkeys(provider.options, "x"), endpoint.base_url)
        parts = urlsplit(url)
        assert parts.scheme in ("https", "http")
        assert parts.netloc
        assert "//" not in parts.path
        assert "{" not in url
        assert not re.search(r"/(v\d\w*)/\1(/|$)", parts.path)
        if "{model}" in path:
            assert "vendor%2Fmodel%3Atag%3Fx" in parts.path


@pytest.mark.parametrize(
    ("provider", "endpoint"),
    # The roots of Azure, of which the resource is the host, are tested by themselves.
    [param for param in endpoints() if param.values[0].name != "azure"],
)
def test_a_missing_or_doubled_version_makes_no_difference(provider: Provider, endpoint: Endpoint) -> None:
    wanted = url_of(provider, endpoint.path, "m", {}, endpoint.base_url)
    number = provider.endpoints.index(endpoint)
    registered = PROVIDERS[provider.name]
    base, root = provider.base_url, urlsplit(provider.base_url).path
    pasted = [base, f"{base}/", base.removesuffix(root), base + endpoint.path.partition("{")[0].rstrip("/")]
    if version := re.search(r"/v\d\w*$", base):
        pasted.append(base + version[0])
    if (first := re.match(r"/v\d\w*", endpoint.path)) and endpoint.base_url is None:
        pasted.append(base + first[0])
    for address in pasted:
        if endpoint.base_url is not None and address == pasted[3]:
            continue
        moved = placed(registered, base_url=address)
        assert url_of(moved, endpoint.path, "m", {}, moved.endpoints[number].base_url) == wanted, address


HELLO = ir.Request("m", (ir.Message("user", (ir.Text("hello"),)),), protocol="ollama")


@each_endpoint
def test_what_a_server_does_not_take_is_not_sent(provider: Provider, endpoint: Endpoint) -> None:
    if endpoint.operation != "generate":
        return
    knobs = ir.Sampling(
        temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, presence_penalty=0.1, frequency_penalty=0.1, seed=1
    )
    request = msgspec.structs.replace(
        HELLO,
        sampling=knobs,
        max_tokens=4000,
        stop=("END",),
        thinking=ir.Thinking(effort="high"),
        user="someone",
        cache_key="k",
        stream=True,
    )
    target = Target("some-model", provider.name, endpoint.quirks)
    encoded = translators.get(endpoint.translator).encode_request(request, target)
    body = json.loads(encoded.body)
    unsupported = getattr(endpoint.quirks, "unsupported", frozenset())
    assert unsupported.isdisjoint(body)
    sent = json.dumps(body)
    for name, told in (("seed", "seed"), ("min_p", "min_p"), ("top_k", "top_k")):
        camel = re.sub(r"_(\w)", lambda m: m[1].upper(), name)
        assert f'"{name}"' in sent or f'"{camel}"' in sent or told in encoded.dropped, name
    assert "END" in sent or encoded.stops == ("END",)


def test_every_chat_quirk_is_needed_by_a_provider_and_not_by_all() -> None:
    """A field that nobody sets is dead; one that everybody sets has a wrong default."""
    used = [e.quirks for p in PROVIDERS.values() for e in p.endpoints if e.translator == "openai_chat"]
    given = [quirks if isinstance(quirks, ChatQuirks) else ChatQuirks() for quirks in used]
    # For servers that only the configuration names: vLLM with a strict template, Gemini's own OpenAI layer.
    waiting = {"single_system", "extra_content_signatures"}
    sides = {field.name: {getattr(quirks, field.name) for quirks in given} for field in fields(ChatQuirks)}
    assert {name for name, values in sides.items() if len(values) < 2} == waiting


@every
def test_classifying_keeps_what_was_known(provider: Provider) -> None:
    translator = translators.get(at_home(provider).endpoints[0].translator)
    for status, kind in ((401, Kind.UPSTREAM_AUTH), (500, Kind.UPSTREAM_ERROR), (404, Kind.UPSTREAM_MODEL)):
        error = translator.decode_error(status, {}, b'{"error":{"message":"no"}}')
        refined = provider.refined(error, {})
        assert refined.kind is kind is error.kind
        assert refined.message == error.message


@every
def test_beginnings_of_model_names_are_nobody_elses(provider: Provider) -> None:
    shared = {("gemini", "vertex")}
    for other in PROVIDERS.values():
        if other.name != provider.name and tuple(sorted((other.name, provider.name))) not in shared:
            assert not any(mine.startswith(theirs) for mine in provider.owns for theirs in other.owns)


def test_the_page_is_made_from_the_records() -> None:
    assert (ROOT / "docs" / "providers.md").read_text(encoding="utf-8") == markdown()


@every
def test_a_provider_has_a_page_and_a_line_in_the_list(provider: Provider) -> None:
    assert f"[{provider.name}](providers/{provider.name}.md)" in markdown()
    for word in (provider.title, provider.allows, *provider.env, provider.base_url):
        assert word in page(provider)


def test_no_provider_imports_another() -> None:
    files = {name.replace("-", "_") for name in PROVIDERS}
    for name in files:
        text = (ROOT / "llm_mux" / "providers" / f"{name}.py").read_text(encoding="utf-8")
        imported = set(re.findall(r"llm_mux\.providers\.(\w+)", text)) | set(
            re.findall(r"from llm_mux\.providers import (\w+)", text)
        )
        assert imported.isdisjoint(files), name


def test_loading_them_all_opens_no_connection() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from llm_mux.providers import registry\n"
        "assert len(registry.load()) >= 27\n"
        "assert not {'aiohttp', 'asyncio', 'sqlite3', 'click', 'keyring'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_path_keeps_what_is_no_placeholder() -> None:
    assert fill("/v1/models?limit=1000", "m", {}) == "/v1/models?limit=1000"
