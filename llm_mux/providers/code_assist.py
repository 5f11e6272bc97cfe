"""Gemini Code Assist (Standard and Enterprise) as a way to the Gemini models: its login, and its envelope.

The backend takes a Gemini request inside `{model, project, request}` and answers inside `{response}`, whole and in
every event. Rule: what is inside the envelope is never touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from llm_mux.auth.base import Ask, Call, Confirm, Credential, Flow, LoginError, OAuth, Reply, Sleep, Steps, Wish
from llm_mux.auth.identity import identified, text_of
from llm_mux.auth.tokens import Granted, read, refresh, revoke
from llm_mux.providers.base import Endpoint, Login, Provider, bearer
from llm_mux.providers.google import GOOGLE, how_to_get_a_client, own_client
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.wire import jsonx, sse

QUIRKS: Final = Quirks(vertex=True, one_spelling=True)
_MODELS: Final = (
    *("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-pro-preview", "gemini-3.1-pro-preview"),
    *("gemini-3-flash-preview", "gemini-3.1-flash-lite-preview"),
)


def wrap(project: str, body: bytes, model: str) -> bytes:
    """A request in its envelope."""
    names = msgspec.json.encode(model), msgspec.json.encode(project)
    return b'{"model":%b,"project":%b,"request":%b}' % (*names, body)


def wrap_count(body: bytes, model: str) -> bytes:
    """A count. Only `contents` are taken, so instructions and tools are counted as text before them."""
    top = jsonx.top(body)
    said: list[dict[str, str]] = []
    if "systemInstruction" in top:
        parts = jsonx.decode(bytes(top["systemInstruction"]), _Parts, strict=False).parts
        said.extend({"text": part.text} for part in parts if part.text)
    if "tools" in top:
        said.append({"text": bytes(top["tools"]).decode()})
    contents = jsonx.decode(bytes(top.get("contents", b"[]")), list[Raw])
    first = [{"role": "user", "parts": said}] if said else []
    return jsonx.encode({"request": {"model": f"models/{model}", "contents": [*first, *contents]}})


class _Part(msgspec.Struct):
    text: str = ""


class _Parts(msgspec.Struct):
    parts: list[_Part] = []


class Unwrapped:
    """Takes `response` out of each record."""

    def __init__(self) -> None:
        self._splitter = sse.Splitter()

    def whole(self, body: bytes) -> bytes:
        try:
            inner = jsonx.top(body).get("response")
        except jsonx.Malformed:
            return body
        return body if inner is None else bytes(inner)

    def feed(self, data: bytes) -> bytes:
        try:
            frames = self._splitter.feed(data)
        except sse.TooLong as error:
            raise nonsense(f"a stream record that cannot be read ({error})") from error
        return b"".join(self._bare(frame) for frame in frames)

    def finish(self) -> bytes:
        return b"".join(self._bare(frame) for frame in self._splitter.finish())

    def _bare(self, frame: sse.Frame) -> bytes:
        bare = self.whole(frame.data)
        return frame.raw if bare is frame.data else sse.frame(bare)


_METADATA: Final = {
    "ideType": "IDE_UNSPECIFIED",
    "platform": "PLATFORM_UNSPECIFIED",
    "pluginType": "PLUGIN_UNSPECIFIED",
}
_CODE_ASSIST: Final = "https://cloudcode-pa.googleapis.com"
_SERVICES: Final = "https://serviceusage.googleapis.com"
_SERVICE: Final = "cloudaicompanion.googleapis.com"
_POLL_S: Final = 2.0
_MOST_POLLS: Final = 30
_HOW: Final = how_to_get_a_client(
    "gemini", "the Gemini for Google Cloud API", "", options=" --code-assist --project PROJECT"
).rstrip()


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a browser, then find out which project and tier the account has."""
    return (yield from own_client(oauth, wish, partial(_identified, wish.extra.get("project", "")), _HOW))


def _identified(project: str, oauth: OAuth, granted: Granted, credential: Credential) -> Flow:
    credential = yield from identified(oauth, granted, msgspec.structs.replace(credential, way="code-assist"))
    tier, found = yield from onboarded(oauth, credential.access, project)
    yield from _switched_on(oauth, credential.access, found)
    address = oauth.addresses.get("code-assist", _CODE_ASSIST)
    more = {"project": found, **({} if address == _CODE_ASSIST else {"address": address})}
    return msgspec.structs.replace(credential.with_extra(**more), plan=tier)


def onboarded(oauth: OAuth, access: str, project: str) -> Steps[tuple[str, str]]:
    """Tier and project of an account that Code Assist lets in. Raises `LoginError` with Google's reason otherwise."""
    asked = {"cloudaicompanionProject": project} if project else {}
    loaded = yield from _asked(oauth, access, "loadCodeAssist", {"metadata": _METADATA, **asked})
    current = _mapping(loaded.get("currentTier"))
    found = _project(loaded) or project
    if current and found:
        return text_of(current, "id"), found
    tiers = _mappings(loaded.get("allowedTiers"))
    if not tiers and not current:
        raise LoginError(_ineligible(loaded))
    usual = next((tier for tier in tiers if tier.get("isDefault")), {"id": "legacy-tier"})
    tier = text_of(current or usual, "id")
    if not found and usual.get("userDefinedCloudaicompanionProject"):
        found = yield Ask("Google Cloud project that has Gemini Code Assist")
    more = {"cloudaicompanionProject": found} if found else {}
    body = {"tierId": tier, "metadata": _METADATA, **more}
    for _ in range(_MOST_POLLS):
        state = yield from _asked(oauth, access, "onboardUser", body)
        if state.get("done"):
            # Google's word is final: it may give another project than the one that was asked for.
            found = _project(_mapping(state.get("response"))) or found
            if not found:
                raise LoginError("Code Assist gave no project; say yours with --project")
            return tier, found
        yield Sleep(_POLL_S)
    raise LoginError("Code Assist did not finish setting up the account; try again later")


def _asked(oauth: OAuth, access: str, method: str, body: Mapping[str, Any]) -> Steps[dict[str, Any]]:
    base = oauth.addresses.get("code-assist", _CODE_ASSIST)
    reply: Reply = yield _call(f"{base}/v1internal:{method}", access, body)
    if reply.status == 403:
        raise LoginError(refusal(reply.body))
    return read(reply, "Code Assist")


def _call(url: str, access: str, body: Mapping[str, Any] | None) -> Call:
    headers = {"authorization": f"Bearer {access}", "accept": "application/json", "content-type": "application/json"}
    encoded = None if body is None else msgspec.json.encode(body)
    return Call(url, "GET" if body is None else "POST", headers, encoded)


def _switched_on(oauth: OAuth, access: str, project: str) -> Steps[None]:
    """The service has to be on in the project; turning it on is asked for. Who may not look is left alone."""
    base = oauth.addresses.get("services", _SERVICES)
    url = f"{base}/v1/projects/{quote(project, safe=':')}/services/{_SERVICE}"
    reply: Reply = yield _call(url, access, None)
    if reply.status >= 400 or read(reply, "Service Usage").get("state") == "ENABLED":
        return
    agreed: bool = yield Confirm(f"The Gemini for Google Cloud API is off in the project {project}. Turn it on?")
    if agreed:
        read((yield _call(f"{url}:enable", access, {})), "Service Usage")


def _project(found: Mapping[str, Any]) -> str:
    """A project, which comes as text or as an object."""
    project = found.get("cloudaicompanionProject")
    return text_of(project, "id") if isinstance(project, dict) else project if isinstance(project, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_REFUSED: Final = "Google does not let this account use Code Assist"
_HINT: Final = "Only Standard and Enterprise licences are let in; an API key needs none: llm-mux login gemini --api-key"


def _ineligible(loaded: Mapping[str, Any]) -> str:
    tiers = _mappings(loaded.get("ineligibleTiers"))
    reasons = (text_of(tier, "reasonMessage", "reasonCode") for tier in tiers)
    return _said(next((reason for reason in reasons if reason), ""))


def refusal(body: bytes) -> str:
    """The reason that a 403 holds in its details, which says more than its message."""
    try:
        found = msgspec.json.decode(body)
        error = _mapping(_mapping(found).get("error"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _said("")
    details = _mappings(error.get("details"))
    told = (text_of(_mapping(detail.get("metadata")), "reasonMessage", "message") for detail in details)
    reason = next((text for text in told if text), "") or text_of(error, "message")
    code = next((text for detail in details if (text := text_of(detail, "reason"))), "")
    return _said(f"{reason} ({code})" if code and code not in reason else reason)


def _said(reason: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in reason)[:300].strip()
    return f"{_REFUSED}{': ' if plain else ''}{plain.rstrip('.')}. {_HINT}"


def applied(provider: Provider, credential: Credential) -> Provider:
    """The Gemini models through the backend of Code Assist."""
    project = credential.extra.get("project", "")
    made = Endpoint(
        "gemini",
        "/v1internal:generateContent",
        stream_path="/v1internal:streamGenerateContent?alt=sse",
        quirks=QUIRKS,
        wrap=partial(wrap, project),
        unwrap=Unwrapped,
    )
    count = Endpoint("gemini", "/v1internal:countTokens", operation="count", quirks=QUIRKS, wrap=wrap_count)
    models = tuple(ModelInfo(name, owned_by="google", context=1_048_576, max_output=65_536) for name in _MODELS)
    return replace(
        provider,
        base_url=credential.extra.get("address") or _CODE_ASSIST,
        endpoints=(made, count),
        auth=bearer,
        models_path=None,
        models=models,
    )


LOGIN: Final = Login(
    "code-assist",
    "Gemini Code Assist Standard or Enterprise",
    dataclasses.replace(GOOGLE, addresses={"code-assist": _CODE_ASSIST, "services": _SERVICES}),
    start=start,
    refresh=refresh,
    revoke=revoke,
    wants=("client", "project"),
    applied=applied,
)
