"""The one chooser: whether a request's bytes go through (splice) or are translated, and what exactly is sent.

Splice when client and endpoint speak the same format and the translator says under which top-level edits the bytes
may go; otherwise decode and encode. Nothing untranslated ever goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from msgspec import Struct, structs

from llm_mux import ir
from llm_mux.auth.client_keys import PREFIX
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.upstream import USER_AGENT
from llm_mux.providers.base import Endpoint, Operation, url_of
from llm_mux.routing.accounts import PASSTHROUGH, Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.select import Candidate
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, ModelInfo, Target, Translator
from llm_mux.translators.foreign import refuse_thread
from llm_mux.translators.memory import LEAST
from llm_mux.translators.outlined import spliced
from llm_mux.translators.plain import Frame, Frames
from llm_mux.translators.steps import steps
from llm_mux.translators.tools import Names
from llm_mux.wire import jsonx

_NOTHING = Names()
_MOST_KEPT = 4096
NO_LEGACY = "(legacy completions)"
_BASE_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}
_NUMBERS = count(1)
_Kept = tuple[Encoded, ir.Request]
FRAMES: Frames[_Kept] = Frames()
"""What was written of the settings of plain requests and of agents', and their canonical form."""


class Plan(Struct):
    """One attempt, ready to send. `request` is the canonical form when it was needed, without the messages where those
    were written without it; it is the only field that changes, to None when it is not needed any more."""

    account: Account
    model: str
    endpoint: Endpoint
    upstream: Translator
    target: Target
    url: str
    place: str
    headers: Mapping[str, str]
    body: bytes
    spliced: bool
    dropped: tuple[str, ...] = ()
    names: Names = _NOTHING
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    hide_usage: bool = False
    request: ir.Request | None = None

    @property
    def served(self) -> str:
        """What the answer will call the model, as far as the record knows."""
        calls = self.endpoint.calls
        return self.model if calls is None else calls(self.model)

    def read(self, body: bytes) -> ir.Response:
        """The whole answer in `body`. Raises MuxError where it is none."""
        return self.upstream.decode_response(jsonx.readable(body), self.target)


Facts = Callable[[str, str], ModelInfo | None]


def choose(
    ask: Ask, candidate: Candidate, decode: Callable[[], ir.Request], facts: Facts, *, strict: bool, adds: bool = True
) -> Plan:
    """How `ask` goes to `candidate`. `decode` gives the canonical form (once, when wanted); `adds`: it may say
    more than the client did.

    Raises MuxError: content the target has no form for, an operation the provider lacks, or with `strict` a knob.
    """
    account, route = candidate.account, candidate.route
    paved = _paved(ask, account, route.model, facts)
    plan = None
    if paved.upstream.name == ask.protocol.name and route.effort is None and route.budget is None:
        plan = _splice(ask, account, paved)
    if plan is None:
        plan = _translate(ask, candidate, paved, decode, adds=adds)
    if account.refuses:
        plan = _without_refused(plan, account)
    if strict and plan.dropped:
        raise bad_request(
            f"{paved.target.title} cannot take: {', '.join(plan.dropped)} (strict is on).", param=plan.dropped[0]
        )
    endpoint = paved.endpoint
    if endpoint.wrap is None and endpoint.tells is None:
        return plan
    body, headers = endpoint.sent(plan.body, plan.model, plan.headers)
    return structs.replace(plan, body=body, headers=headers)


class _Paved(Struct, frozen=True):
    """What all requests of one protocol for one model have in common at an account. `info`: what the target is of;
    `headers`: those of the request, where it has no say in them; `number`: no other has it, 0: it is made anew for each
    request."""

    endpoint: Endpoint
    upstream: Translator
    info: ModelInfo | None
    target: Target
    url: str
    place: str
    headers: Mapping[str, str] | None
    number: int


def _paved(ask: Ask, account: Account, model: str, facts: Facts) -> _Paved:
    """Worked out once, where the body has no say in it and the provider's list says the same as then."""
    key = (ask.protocol.name, model, ask.stream)
    info = facts(account.provider.name, model)
    known: _Paved | None = account.memo.get(key)
    if known is not None and known.info is info:
        return known
    endpoint, upstream = _endpoint(ask, account, model)
    target, url = _target(account, endpoint, model, info), url_for(account, endpoint, model, stream=ask.stream)
    forwards = account.provider.forwards and endpoint.translator == ask.protocol.name
    headers = None if forwards or account.key == PASSTHROUGH else _own_headers(ask, account, endpoint)
    lasts = ask.protocol.name != "openai_completions" and not account.provider.weighs_bodies
    made = _Paved(endpoint, upstream, info, target, url, account.name, headers, next(_NUMBERS) if lasts else 0)
    if lasts:
        _keep(account, key, made)
    return made


def _endpoint(ask: Ask, account: Account, model: str) -> tuple[Endpoint, Translator]:
    endpoint, provider = None, account.provider
    if ask.protocol.name == "openai_completions" and NO_LEGACY not in account.refuses.get(model, ()):
        endpoint = provider.endpoint_for(model, ask.protocol.name, "complete")
    endpoint = endpoint or provider.endpoint_for(model, ask.protocol.name, "generate", ask.body)
    if endpoint is None:
        raise MuxError(Kind.NO_TARGET, f"{provider.title} offers no text generation for `{model}`.")
    return endpoint, registry.get(endpoint.translator)


def _keep(account: Account, key: object, value: object) -> None:
    """Remembers a value for the account; model names come from clients, so their number is bounded."""
    if len(account.memo) >= _MOST_KEPT:
        account.memo.clear()
    account.memo[key] = value


def _target(account: Account, endpoint: Endpoint, model: str, info: ModelInfo | None) -> Target:
    key = ("target", endpoint.path, endpoint.translator, model)
    known: tuple[ModelInfo | None, Target] | None = account.memo.get(key)
    if known is not None and known[0] is info:
        return known[1]
    target = Target(model, account.provider.name, endpoint.quirks)
    if info is not None:
        capabilities = frozenset(info.capabilities)
        target = replace(target, max_output=info.max_output, context=info.context, capabilities=capabilities)
    _keep(account, key, (info, target))
    return target


def _splice(ask: Ask, account: Account, paved: _Paved) -> Plan | None:
    if ask.hints.framing == "array":
        return None
    edits = paved.upstream.adapt(ask.body, paved.target, ask.stream, ask.outline)
    if edits is None:
        return None
    target = paved.target
    headers = paved.headers or headers_for(ask, account, paved.endpoint, {})
    body = spliced(ask.body, ask.outline, edits.top) if edits.top else ask.body
    # By position, as a request's structs are made: each name costs as much as two values.
    return Plan(
        account,
        target.model,
        paved.endpoint,
        paved.upstream,
        target,
        paved.url,
        paved.place,
        headers,
        body,
        True,
        edits.dropped,
        hide_usage=edits.hide_usage,
    )


def _translate(ask: Ask, candidate: Candidate, paved: _Paved, decode: Callable[[], ir.Request], *, adds: bool) -> Plan:
    account = candidate.account
    way = _encoded if adds or len(ask.body) < LEAST else _in_steps
    encoded, request = way(ask, candidate.route, paved, decode)
    headers = (not encoded.headers and paved.headers) or headers_for(ask, account, paved.endpoint, encoded.headers)
    return Plan(
        account,
        paved.target.model,
        paved.endpoint,
        paved.upstream,
        paved.target,
        paved.url,
        paved.place,
        headers,
        encoded.body,
        False,
        encoded.dropped,
        encoded.names,
        encoded.stops,
        encoded.max_tokens,
        request=request,
    )


def _encoded(ask: Ask, route: Route, paved: _Paved, decode: Callable[[], ir.Request]) -> tuple[Encoded, ir.Request]:
    """The request in the target's format, and its canonical form: around new words what was written around others with
    the same settings, where it is plain."""
    reads, spelling = ask.protocol.plain, paved.upstream.said
    plain = reads(ask.body, ask.outline, ask.hints) if reads and spelling and paved.number else None
    if plain is None or spelling is None:
        request = decode()
        return _encode(ask, route, paved, request), request
    key = (paved.number, ask.model, route.effort, route.budget, plain.system is None, plain.settings)
    frame, said = FRAMES.get(key), spelling.pieces(plain)
    if frame is not None:
        return _framed(frame, frame.around(said))
    request = decode()
    encoded = _encode(ask, route, paved, request)
    _learn(key, plain.settings, (encoded, request), said)
    return encoded, request


def _framed(frame: Frame[_Kept], body: bytes) -> tuple[Encoded, ir.Request]:
    known, request = frame.kept
    return Encoded(body, known.dropped, known.names, known.stops, known.headers, known.max_tokens), request


def _learn(key: Hashable, settings: bytes, made: _Kept, said: Sequence[bytes]) -> None:
    """Keeps what was written around what is said, where that has no say in it."""
    encoded, request = made
    if request.output.kind == "json":
        # Some want to hear of JSON before they answer with it, and are told where nobody spoke of it.
        return
    without_words = structs.replace(encoded, body=b""), structs.replace(request, messages=())
    FRAMES.learn(key, settings, encoded.body, said, without_words)


def _in_steps(ask: Ask, route: Route, paved: _Paved, decode: Callable[[], ir.Request]) -> tuple[Encoded, ir.Request]:
    """The same for a large request, where its conversation is an agent's."""
    telling = paved.upstream.tells_steps if paved.number else None
    found = steps(ask.body, ask.outline, ask.protocol.reads_steps, telling)
    told = None if found is None else found.told()
    if found is None or told is None:
        return _encoded(ask, route, paved, decode)
    # Beside the settings, what a format writes around the turns depends on no more of them than this.
    key = (paved.number, ask.model, route.effort, route.budget, told.system is None, told.calls, found.around.number)
    frame = FRAMES.get(key)
    if frame is not None:
        if not found.takes(frame.kept[0].names, told):
            return _encoded(ask, route, paved, decode)
        return _framed(frame, frame.around_parts(told.said))
    request = decode()
    encoded = _encode(ask, route, paved, request)
    if found.takes(encoded.names, told) and (said := found.normal()):
        _learn(key, b"", (encoded, request), said)
    return encoded, request


def _encode(ask: Ask, route: Route, paved: _Paved, request: ir.Request) -> Encoded:
    if route.effort is not None or route.budget is not None:
        wanted = structs.replace(request.thinking, effort=route.effort, budget=route.budget)
        request = structs.replace(request, thinking=wanted)
    if paved.upstream.name != ask.protocol.name:
        refuse_thread(request, paved.target)
    return paved.upstream.encode_request(request, paved.target)


def _without_refused(plan: Plan, account: Account) -> Plan:
    """Leaves out the parameters that this model answered 400 to before."""
    refused = account.refuses.get(plan.model)
    if not refused:
        return plan
    present = refused & jsonx.top(plan.body).keys()
    if not present:
        return plan
    body = jsonx.splice(plan.body, dict.fromkeys(sorted(present)))
    return structs.replace(plan, body=body, dropped=(*plan.dropped, *sorted(present)))


def url_for(account: Account, endpoint: Endpoint, model: str, *, stream: bool) -> str:
    """The full URL of one attempt."""
    path = endpoint.stream_path if stream and endpoint.stream_path else endpoint.path
    key = ("url", path, endpoint.base_url, model)
    if key not in account.memo:
        _keep(account, key, url_of(account.provider, path, model, account.options, endpoint.base_url))
    url: str = account.memo[key]
    return url


def headers_for(ask: Ask, account: Account, endpoint: Endpoint, more: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of one attempt: the provider's, the credential's, the user's, and what the format carries."""
    own = _own_headers(ask, account, endpoint)
    forwards = account.provider.forwards and endpoint.translator == ask.protocol.name
    if not forwards and not more:
        return own
    headers = dict(own)
    if forwards:
        _forward(ask, account, headers)
    for name, value in more.items():
        both = name in headers and name == "anthropic-beta"
        headers[name] = _union(headers[name], value) if both else value
    return headers


def _own_headers(ask: Ask, account: Account, endpoint: Endpoint) -> Mapping[str, str]:
    """The headers that no request has a say in."""
    key = ("headers", endpoint.path, endpoint.translator, ask.stream)
    kept: Mapping[str, str] | None = account.memo.get(key)
    if kept is not None:
        return kept
    provider = account.provider
    headers = dict(_BASE_HEADERS)
    headers["accept"] = registry.get(endpoint.translator).stream_type if ask.stream else "application/json"
    headers.update(provider.headers)
    headers.update(endpoint.headers)
    headers.update((endpoint.auth or provider.auth)(credential(ask, account)))
    headers.update(account.headers)
    if account.key != PASSTHROUGH:
        _keep(account, key, headers)
    return headers


def _forward(ask: Ask, account: Account, headers: dict[str, str]) -> None:
    """What a client of the same format may say to the provider, unless it is meant for this hop only. Its name goes on
    with ours behind it."""
    hop_by_hop = ask.headers.get("connection", "").lower()
    for name in account.provider.forwards:
        if (value := ask.headers.get(name)) is not None and name not in hop_by_hop and name not in account.headers:
            if name == "user-agent":
                headers[name] = f"{value} {USER_AGENT}"
                continue
            # What the account itself needs stays beside what the client wants.
            both = name == "anthropic-beta" and name in headers
            headers[name] = _union(headers[name], value) if both else value


def _union(first: str, second: str) -> str:
    seen = dict.fromkeys(value.strip() for value in f"{first},{second}".split(",") if value.strip())
    return ",".join(seen)


def credential(ask: Ask, account: Account) -> str:
    """The account's key, or the client's own where the user chose to pass it through."""
    if account.key != PASSTHROUGH:
        return account.key
    caller = ask.caller
    # A key of the database or a signed token says who asks here, and whoever has it could ask in its owner's place.
    key = caller.key if caller.key_id is None and caller.user is None else _brought(ask)
    if key:
        return key
    name = account.provider.name
    message = f"Provider '{name}' requires API key passthrough, but no client API key was provided"
    if caller.key:
        message += ". A key of llm-mux stays here: send it as a bearer, and the provider's as `x-api-key`"
    raise MuxError(Kind.CLIENT_AUTH, message)


def _brought(ask: Ask) -> str:
    """The key that a client brought beside that of the daemon, which never goes upstream."""
    given = (ask.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key", "api-key"))
    return next((key for key in given if key and key != ask.caller.key and not key.startswith(PREFIX)), "")


def whose_fault(account: Account, error: MuxError) -> MuxError:
    """A refused credential is the client's own to mend where it was the client's own."""
    refused = error.kind in (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN)
    return replace(error, kind=Kind.CLIENT_AUTH) if refused and account.key == PASSTHROUGH else error


def operation_endpoint(ask: Ask, candidate: Candidate, operation: Operation) -> Endpoint | None:
    """The endpoint of a side operation (embeddings, counting) for the candidate's model."""
    return candidate.account.provider.endpoint_for(candidate.route.model, ask.protocol.name, operation)
