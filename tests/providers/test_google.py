"""Google accounts: the Gemini API with one's own client, Code Assist in its envelope, and Vertex AI."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk

from llm_mux.auth.base import Ask, Call, Credential, LoginError, OAuth, Reply
from llm_mux.auth.imports import client_of_file
from llm_mux.auth.service_account import refresh as refresh_service_account
from llm_mux.auth.tokens import refresh, revoke
from llm_mux.errors import Kind, MuxError
from llm_mux.providers import code_assist, gemini, vertex
from tests.providers.logged_in import logged_in, login_of
from tests.upstreams.google import CLIENT, INELIGIBLE, SECRET, GoogleBackend, rpc
from tests.upstreams.person import NOW, Person, wish
from tests.upstreams.played import Refusal

CLIENT_FILE = json.dumps({"installed": {"client_id": CLIENT, "client_secret": SECRET, "project_id": "p"}})
ASKED = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
CHAT = {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]}
MESSAGES = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


def at(backend: GoogleBackend, oauth: OAuth = gemini.OWN) -> OAuth:
    """Google, played by `backend`, with the user's own client."""
    url = backend.url
    moved = replace(
        oauth,
        authorize_url=f"{url}/o/oauth2/v2/auth",
        token_url=f"{url}/token",
        revoke_url=f"{url}/revoke",
        userinfo_url=f"{url}/userinfo",
        addresses={"code-assist": url, "services": url},
    )
    return client_of_file(moved, CLIENT_FILE)


async def signed_in(backend: GoogleBackend, **extra: str) -> Credential:
    return await Person().logs_in(gemini.start(at(backend), wish(**extra)))


async def assisted(backend: GoogleBackend, person: Person | None = None, **extra: str) -> Credential:
    return await (person or Person()).logs_in(code_assist.start(at(backend), wish(**extra)))


async def test_a_google_account_logs_in_with_the_users_own_client() -> None:
    async with GoogleBackend() as backend:
        got = await signed_in(backend)
        again = await Person().logs_in(refresh(at(backend), got, NOW))
        await Person().does(revoke(at(backend), again))
    assert (got.id, got.email, got.refresh, got.way) == ("g-1", "me@example.com", "1//refresh", "browser")
    assert (got.client_id, got.client_secret) == (CLIENT, SECRET)
    assert (again.access, again.refresh) == ("ya29.token-2", "1//refresh")
    assert backend.revoked == ["1//refresh"]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("browser", ["Desktop app", "login gemini --client-file client_secret.json", "login gemini --api-key"]),
        ("code-assist", ["Desktop app", "login gemini --code-assist --project PROJECT --client-file"]),
    ],
)
async def test_who_has_no_client_is_told_in_a_few_lines_how_to_get_one(way: str, words: list[str]) -> None:
    login = login_of("gemini", way)
    assert login.start is not None
    with pytest.raises(LoginError) as told:
        await Person().logs_in(login.start(login.oauth, wish()))
    said = str(told.value)
    assert len(said.splitlines()) <= 7
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(("extra", "project"), [({}, "424242"), ({"project": "mine"}, "mine")])
async def test_requests_carry_the_token_and_the_project_that_pays(
    tmp_path: Path, extra: dict[str, str], project: str
) -> None:
    async with GoogleBackend() as backend:
        credential = await signed_in(backend, **extra)
        async with logged_in(tmp_path, "gemini", credential, backend.url) as client:
            answer = await client.post("/v1beta/models/gemini-2.5-flash:generateContent", ASKED)
            listed = await client.get("/v1/models")
    assert answer.status == 200, answer.text
    assert backend.asked("/v1beta/models/gemini-2.5-flash:generateContent")[0].headers["x-goog-user-project"] == project
    assert "gemini-2.5-flash" in listed.text


NEW = {"allowedTiers": [{"id": "standard-tier", "isDefault": True, "userDefinedCloudaicompanionProject": True}]}


@pytest.mark.parametrize(
    ("loaded", "given", "extra", "answers", "project", "tier"),
    [
        pytest.param(
            NEW, {"id": "given"}, {"project": "mine"}, [], "given", "standard-tier", id="Google's word counts"
        ),
        pytest.param(NEW, None, {"project": "mine"}, [], "mine", "standard-tier", id="the one that was named"),
        pytest.param(NEW, None, {}, ["asked"], "asked", "standard-tier", id="the one that was asked for"),
        pytest.param(
            {"currentTier": {"id": "standard-tier"}, "cloudaicompanionProject": "had"},
            None,
            {},
            [],
            "had",
            "standard-tier",
            id="one that is set up already",
        ),
        pytest.param(
            {"currentTier": {"id": "standard-tier"}, "cloudaicompanionProject": {"id": "had"}},
            None,
            {},
            [],
            "had",
            "standard-tier",
            id="a project as an object",
        ),
        pytest.param(
            {"allowedTiers": [{"id": "x"}]}, "text", {"project": "p"}, [], "text", "legacy-tier", id="no default"
        ),
    ],
)
async def test_code_assist_says_which_project_and_tier_it_is(
    loaded: dict[str, Any], given: object, extra: dict[str, str], answers: list[str | bool], project: str, tier: str
) -> None:
    async with GoogleBackend(loaded=loaded, given=given) as backend:
        person = Person(answers=answers)
        got = await assisted(backend, person, **extra)
    assert (got.extra["project"], got.plan, got.email) == (project, tier, "me@example.com")
    assert got.way == "code-assist"


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        pytest.param(
            GoogleBackend(refusal=INELIGIBLE), ["not eligible", "IneligibleTier"], id="a 403 with its details"
        ),
        pytest.param(
            GoogleBackend(
                loaded={"ineligibleTiers": [{"reasonCode": "RESTRICTED", "reasonMessage": "Not in your age."}]}
            ),
            ["Not in your age"],
            id="no tier but a reason",
        ),
        pytest.param(GoogleBackend(refusal=Refusal(403, "<html>")), ["does not let this account"], id="no reason"),
    ],
)
async def test_googles_reason_for_a_refusal_is_shown(backend: GoogleBackend, words: list[str]) -> None:
    async with backend:
        with pytest.raises(LoginError) as told:
            await assisted(backend, project="p")
    assert [word for word in [*words, "login gemini --api-key"] if word not in str(told.value)] == []


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TIER_KEYS = ["id", "isDefault", "userDefinedCloudaicompanionProject", "reasonMessage", "reasonCode"]
TIERS = SHAPES | st.lists(SHAPES | st.dictionaries(st.sampled_from(TIER_KEYS), SHAPES))
STATES = st.fixed_dictionaries(
    {},
    optional={
        "currentTier": SHAPES | st.dictionaries(st.sampled_from(TIER_KEYS), SHAPES),
        "allowedTiers": TIERS,
        "ineligibleTiers": TIERS,
        "cloudaicompanionProject": SHAPES | st.fixed_dictionaries({"id": SHAPES}),
        "done": SHAPES,
        "response": SHAPES | st.fixed_dictionaries({"cloudaicompanionProject": SHAPES}),
    },
)


@given(answers=st.lists(STATES, min_size=1, max_size=3), asked=st.sampled_from(["", "p"]))
def test_no_shape_of_code_assists_answers_breaks_a_login(answers: list[dict[str, Any]], asked: str) -> None:
    flow = code_assist.onboarded(code_assist.LOGIN.oauth, "token", asked)
    replies = itertools.chain(answers, itertools.repeat({"done": True}))
    sent: object = None
    try:
        while True:
            match flow.send(sent):
                case Call():
                    sent = Reply(200, {}, msgspec.json.encode(next(replies)), 0.0)
                case Ask():
                    sent = "asked"
                case _:
                    sent = 0.0
    except StopIteration as ended:
        tier, project = ended.value
        assert isinstance(tier, str)
        assert project and isinstance(project, str)
    except LoginError as error:
        assert str(error)


REASONS = st.fixed_dictionaries(
    {}, optional={"metadata": SHAPES | st.fixed_dictionaries({"reasonMessage": SHAPES}), "reason": SHAPES}
)


@given(error=SHAPES | st.fixed_dictionaries({"message": SHAPES, "details": SHAPES | st.lists(SHAPES | REASONS)}))
def test_no_shape_of_a_refusal_hides_what_to_do_next(error: object) -> None:
    assert "login gemini --api-key" in code_assist.refusal(msgspec.json.encode({"error": error}))


async def test_a_project_stays_one_step_of_the_address() -> None:
    async with GoogleBackend(given="a/../b?c#d") as backend:
        await assisted(backend, project="mine")
    assert "/v1/projects/a/../b?c#d/services/cloudaicompanion.googleapis.com" in [each.path for each in backend.seen]


@pytest.mark.parametrize("agreed", [True, False])
async def test_the_service_is_turned_on_only_when_asked(agreed: bool) -> None:
    async with GoogleBackend(enabled=False) as backend:
        person = Person(answers=[agreed])
        await assisted(backend, person, project="mine")
    assert "Turn it on?" in person.told[-1]
    assert backend.enabled is agreed


async def test_an_account_that_is_never_set_up_is_no_endless_wait() -> None:
    async with GoogleBackend(onboarding=10_000) as backend:
        person = Person()
        with pytest.raises(LoginError, match="try again later"):
            await assisted(backend, person, project="mine")
    assert sum(person.slept) <= 60


WAYS = [
    pytest.param("/v1beta/models/gemini-2.5-pro:generateContent", ASKED, id="gemini"),
    pytest.param("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", ASKED, id="gemini stream"),
    pytest.param("/v1/chat/completions", {**CHAT, "model": "gemini-2.5-pro"}, id="chat"),
    pytest.param("/v1/chat/completions", {**CHAT, "model": "gemini-2.5-pro", "stream": True}, id="chat stream"),
    pytest.param("/v1/messages", {**MESSAGES, "model": "gemini-2.5-pro"}, id="messages"),
]


@pytest.mark.covers("PF-114", "FB-125")
@pytest.mark.parametrize(("path", "body"), WAYS)
async def test_the_envelope_is_put_on_and_taken_off(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with GoogleBackend(answer="Hello there") as backend:
        credential = await assisted(backend, project="mine")
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            answer = await client.post(path, body)
        sent = backend.last
    assert answer.status == 200, answer.text
    assert "".join(texts(answer.text)) == "Hello there"
    assert '"response":' not in answer.text
    assert (sent.json()["model"], sent.json()["project"]) == ("gemini-2.5-pro", "given-project")


def texts(answer: str) -> list[str]:
    """The texts of an answer in any of the shapes above, in order."""
    records = [line.removeprefix("data: ") for line in answer.splitlines() if line.startswith("data: {")] or [answer]
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(value[name] for name in ("text", "content") if isinstance(value.get(name), str))
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    for record in records:
        walk(json.loads(record))
    return found


@pytest.mark.covers("FB-125")
async def test_the_other_spelling_is_corrected_where_the_backend_does_not_know_it(tmp_path: Path) -> None:
    body = {**ASKED, "system_instruction": {"parts": [{"text": "be kind"}]}, "generation_config": {"temperature": 0}}
    async with GoogleBackend() as backend:
        credential = await assisted(backend, project="mine")
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            answer = await client.post("/v1beta/models/gemini-2.5-pro:generateContent", body)
    assert answer.status == 200, answer.text
    assert backend.last.json()["request"]["systemInstruction"]["parts"] == [{"text": "be kind"}]


async def test_bytes_of_the_format_itself_are_not_touched_in_the_envelope(tmp_path: Path) -> None:
    body = {**ASKED, "labels": {"a": "b"}, "invented": {"tomorrow": [1.0, 2]}}
    async with GoogleBackend() as backend:
        credential = await assisted(backend, project="mine")
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            await client.post("/v1beta/models/gemini-2.5-pro:generateContent", body)
    assert json.dumps(backend.last.json()["request"]) == json.dumps(body)


@pytest.mark.covers("FB-140")
async def test_a_count_holds_instructions_and_tools_although_only_contents_are_taken(tmp_path: Path) -> None:
    tool = {"name": "look", "description": "looks " * 50, "input_schema": {"type": "object"}}
    small = {"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": "hi"}]}
    large = {**small, "system": "be kind " * 50, "tools": [tool]}
    async with GoogleBackend() as backend:
        credential = await assisted(backend, project="mine")
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            counts = [await client.post("/v1/messages/count_tokens", each) for each in (small, large)]
    assert [count.headers["x-llm-mux-count"] for count in counts] == ["native", "native"]
    first, second = (count.json()["input_tokens"] for count in counts)
    assert second > first + 100


async def test_an_error_comes_without_an_envelope_and_is_understood(tmp_path: Path) -> None:
    spent = rpc(429, "RESOURCE_EXHAUSTED", "out", {"reason": "QUOTA_EXHAUSTED"}, {"retryDelay": "3600s"})
    async with GoogleBackend() as backend:
        credential = await assisted(backend, project="mine")
        backend.refusal = spent
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            answer = await client.post("/v1beta/models/gemini-2.5-pro:generateContent", ASKED)
            assert client.account.last_error is not None
            assert client.account.last_error.startswith(Kind.QUOTA.value)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "3600"


async def test_an_account_that_is_let_in_no_more_shows_why(tmp_path: Path) -> None:
    async with GoogleBackend() as backend:
        credential = await assisted(backend, project="mine")
        backend.refusal = INELIGIBLE
        async with logged_in(tmp_path, "gemini", credential, "https://unused.example") as client:
            answer = await client.post("/v1beta/models/gemini-2.5-pro:generateContent", ASKED)
            assert client.account.last_error is not None
            assert "not eligible for Gemini Code Assist for individuals" in client.account.last_error
    assert answer.status == 502


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
def test_the_envelope_comes_off_in_any_cut(size: int) -> None:
    inner = b'{"candidates":[{"content":{"parts":[{"text":"a\\nb"}]}}]}'
    enveloped = (
        b'data: {"response": %b,\ndata: "traceId":"t"}\r\n\r\n: ping\n\ndata: {"error":{"code":500}}\n\n' % inner
    )
    unwrap = code_assist.Unwrapped()
    out = b"".join(unwrap.feed(enveloped[at : at + size]) for at in range(0, len(enveloped), size)) + unwrap.finish()
    assert out == b'data: %b\n\ndata: {"error":{"code":500}}\n\n' % inner


def test_what_is_no_envelope_stays_as_it_is() -> None:
    unwrap = code_assist.Unwrapped()
    assert unwrap.whole(b"<html>") == b"<html>"
    assert unwrap.whole(b'{"totalTokens":3}') == b'{"totalTokens":3}'
    with pytest.raises(MuxError):
        unwrap.feed(b"data: {" + b"x" * (65 << 20))


KEY = jwk.RSAKey.generate_key(2048)


def key_file(backend: GoogleBackend, **more: object) -> str:
    """A service account's file whose private key lost its line ends."""
    pem = KEY.as_pem(private=True).decode().replace("\n", " ")
    file = {
        "type": "service_account",
        "project_id": "my-project",
        "client_email": "bot@my-project.iam.gserviceaccount.com",
        "private_key": pem,
        "token_uri": f"{backend.url}/token",
    }
    return json.dumps({**file, **more})


async def of_vertex(backend: GoogleBackend, **extra: str) -> Credential:
    backend.public_key = KEY
    oauth = login_of("vertex", "service-account").oauth
    return await Person().logs_in(vertex.imported(oauth, wish(**extra), key_file(backend)))


async def test_a_service_account_logs_in_with_a_damaged_key() -> None:
    async with GoogleBackend() as backend:
        got = await of_vertex(backend)
        again = await Person().logs_in(refresh_service_account(login_of("vertex", got.way).oauth, got, NOW + 3600))
    assert (got.way, got.email, got.extra["project"]) == (
        "service-account",
        "bot@my-project.iam.gserviceaccount.com",
        "my-project",
    )
    assert (got.access, again.access) == ("ya29.token-1", "ya29.token-2")


async def test_a_login_at_vertex_needs_a_project() -> None:
    async with GoogleBackend() as backend:
        backend.public_key = KEY
        oauth = login_of("vertex", "service-account").oauth
        with pytest.raises(LoginError, match="--project"):
            await Person().logs_in(vertex.imported(oauth, wish(), key_file(backend, project_id="")))


ADC = json.dumps(
    {"type": "authorized_user", "client_id": CLIENT, "client_secret": SECRET, "refresh_token": "1//refresh"}
)


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
async def test_what_gcloud_left_is_taken_over(provider: str) -> None:
    login = login_of(provider, "adc")
    assert login.imports is not None
    async with GoogleBackend() as backend:
        got = await Person().logs_in(login.imports(at(backend, login.oauth), wish(project="mine"), ADC))
    assert (got.way, got.email, got.extra["project"]) == ("adc", "me@example.com", "mine")


@pytest.mark.parametrize(
    ("options", "extra", "base", "place"),
    [
        ({}, {}, "https://us-central1-aiplatform.googleapis.com", "my-project/locations/us-central1"),
        ({"location": "global"}, {}, "https://aiplatform.googleapis.com", "my-project/locations/global"),
        (
            {"location": "europe-west4"},
            {},
            "https://europe-west4-aiplatform.googleapis.com",
            "my-project/locations/europe-west4",
        ),
        ({"project": "other"}, {"location": "global"}, "https://aiplatform.googleapis.com", "other/locations/global"),
    ],
)
def test_the_place_is_in_host_and_path_and_global_has_the_bare_host(
    options: dict[str, str], extra: dict[str, str], base: str, place: str
) -> None:
    credential = Credential(access="a", extra={"project": "my-project", **extra})
    at_place = vertex.applied(vertex.adjust(vertex.PROVIDER, options), credential)
    assert at_place.base_url == base
    paths = [endpoint.path for endpoint in at_place.endpoints]
    assert all(path.startswith(f"/v1/projects/{place}/publishers/") for path in paths)


TOOLS = {
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "AAAA"}],
        },
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"a": 1}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
}


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        pytest.param(
            "/v1beta/models/gemini-2.5-pro:generateContent",
            TOOLS,
            "google/models/gemini-2.5-pro:generateContent",
            id="ids",
        ),
        pytest.param(
            "/v1/chat/completions",
            {**CHAT, "model": "gemini-2.5-pro", "stream": True},
            "google/models/gemini-2.5-pro:streamGenerateContent",
            id="gemini stream",
        ),
        pytest.param(
            "/v1/messages",
            {**MESSAGES, "model": "vertex://claude-sonnet-4-5@20250929"},
            "anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            id="claude",
        ),
        pytest.param(
            "/v1/chat/completions",
            {**CHAT, "model": "vertex://claude-sonnet-4-5@20250929", "stream": True},
            "anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
            id="claude stream",
        ),
    ],
)
async def test_vertex_serves_both_families_each_in_its_own_words(
    tmp_path: Path, path: str, body: dict[str, Any], asked: str
) -> None:
    async with GoogleBackend(answer="Hello there") as backend:
        credential = await of_vertex(backend)
        async with logged_in(tmp_path, "vertex", credential, backend.url) as client:
            answer = await client.post(path, body)
    assert answer.status == 200, answer.text
    assert "".join(texts(answer.text)) == "Hello there"
    assert backend.last.path == f"/v1/projects/my-project/locations/us-central1/publishers/{asked}"
