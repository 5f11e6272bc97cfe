"""Logins over the management API: begun, answered step by step, called off. The browser's return is listened for on
this machine; where the browser is elsewhere, the address that it ended at is pasted."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from llm_mux import log, paths
from llm_mux.auth.base import Credential, Flow, LoginError, Wish, overridden
from llm_mux.auth.imports import client_of_file, is_client_file
from llm_mux.auth.logins import StoredLogin, label_for
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.providers.base import Login, Provider
from llm_mux.server import signing
from llm_mux.server.management.accounts import Label, canonical
from llm_mux.server.management.endpoint import Call, Endpoint
from llm_mux.server.reload import RELOADER
from llm_mux.server.sign_ins import MOST_RUNNING, Keep, Shown, SignIn, Wanted


class Start(Struct, frozen=True, forbid_unknown_fields=True):
    """`way` None: the provider's usual one. `agree`: to the way's warning. `text`: what to import, where a way takes
    that, or the file of the OAuth client to sign in with. `extra`: what only some ways want, such as project."""

    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    way: Annotated[str, Meta(max_length=40)] | None = None
    label: Label | None = None
    agree: bool = False
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    text: Annotated[str, Meta(min_length=1, max_length=1 << 18)] | None = None
    extra: dict[str, Annotated[str, Meta(max_length=1000)]] = {}


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """`text` where a line is wanted, `yes` where that is the question."""

    text: Annotated[str, Meta(max_length=65536)] | None = None
    yes: bool | None = None


class Progress(Struct, frozen=True):
    """A login as it is. `steps` are to be shown in their order, `wanted` is to be answered; `account` is what came of
    it, `error` why nothing did. `started` is unix seconds."""

    id: str
    provider: str
    way: str
    state: str
    steps: list[Shown]
    wanted: Wanted | None
    account: str | None
    error: str | None
    started: float


class Listing(Struct, frozen=True):
    logins: list[Progress]


async def _list(call: Call) -> Listing:
    return Listing([_told(each) for each in call.daemon.parts.sign_ins.listed()])


async def _begin(call: Call) -> Progress:
    wish: Start = call.body
    config, known = call.daemon.loaded.config, call.daemon.parts.sign_ins
    name = canonical(wish.provider, config)
    try:
        record, settings, proxy = signing.provider_of(name, config)
    except KeyError:
        raise MuxError(Kind.NOT_FOUND, "There is no provider of this name.", param="provider") from None
    login = _way(record, wish)
    if login.warning and not wish.agree:
        raise MuxError(Kind.CONFLICT, login.warning, param="agree", code="agreement_needed")
    if not record.base_url:
        raise bad_request(f"{name} has no usual place: give it a base-url in the configuration.", param="provider")
    if known.running >= MOST_RUNNING:
        raise MuxError(Kind.CONFLICT, "Too many logins are under way; finish or call off one.", code="too_many_logins")
    made = SignIn(name, login.way)
    flow = _flow(login, settings, wish)
    await known.begin(made, flow, call.daemon.parts.upstream, proxy, _keeper(call, made, record, wish.label))
    return _told(made)


def _way(record: Provider, wish: Start) -> Login:
    imports = wish.text is not None and not is_client_file(wish.text)
    able = [each for each in record.logins if (each.imports if imports else each.start) is not None]
    found = next((each for each in able if wish.way in (None, each.way)), None)
    if found is None:
        ways = ", ".join(dict.fromkeys(each.way for each in record.logins)) or "an API key only"
        raise bad_request(f"{record.title} has no such way to log in; it has: {ways}.", param="way")
    return found


def _flow(login: Login, settings: signing.Settings, wish: Start) -> Flow:
    text = wish.text
    try:
        oauth = overridden(login.oauth, settings)
        if text is not None and is_client_file(text):
            oauth, text = client_of_file(oauth, text), None
    except (ValueError, LoginError) as error:
        raise bad_request(f"{str(error)[:1].upper()}{str(error)[1:]}.", param="text" if text else "provider") from None
    told = Wish(now=time.time(), token=secrets.token_urlsafe, port=wish.port, extra=wish.extra)
    if text is not None and login.imports is not None:
        return login.imports(oauth, told, text)
    assert login.start is not None
    return login.start(oauth, told)


def _keeper(call: Call, made: SignIn, record: Provider, label: str | None) -> Keep:
    """Stores what came of a login and puts the account into use."""
    parts, reloader = call.daemon.parts, call.request.app[RELOADER]
    ways = {each.way for each in record.logins}

    def store(credential: Credential) -> StoredLogin:
        # An import may have found another way's credential in the file.
        if credential.way not in ways:
            credential = msgspec.structs.replace(credential, way=made.way)
        named = label or label_for(parts.secrets, made.provider, credential)
        stored = StoredLogin(made.provider, named, credential)
        signing.keep(parts.secrets, paths.data_dir(parts.env), stored)
        return stored

    async def keep(credential: Credential) -> str:
        stored = await asyncio.to_thread(store, credential)
        log.logger.info("account.logged_in", name=stored.account)
        problem = await reloader.refresh()
        if problem is not None:
            raise LoginError(f"{stored.account} is stored, but not in effect: {problem}")
        return stored.account

    return keep


def _found(call: Call) -> SignIn:
    found = call.daemon.parts.sign_ins.get(call.at["id"])
    if found is None:
        raise MuxError(Kind.NOT_FOUND, "There is no such login.", code="login_not_found")
    return found


async def _look(call: Call) -> Progress:
    return _told(_found(call))


async def _reply(call: Call) -> Progress:
    found, said = _found(call), call.body
    if (said.text is None) is (said.yes is None):
        raise bad_request("Send `text`, or `yes`.")
    if not found.reply(said.text if said.yes is None else said.yes):
        raise MuxError(Kind.CONFLICT, "This login waits for nothing of the kind.", code="not_wanted")
    await found.moved()
    return _told(found)


async def _call_off(call: Call) -> Progress:
    found = _found(call)
    await call.daemon.parts.sign_ins.call_off(found)
    return _told(found)


def _told(one: SignIn) -> Progress:
    return Progress(
        one.id,
        one.provider,
        one.way,
        one.state,
        list(one.steps),
        one.wanted,
        one.account,
        one.error,
        one.started,
    )


ENDPOINTS = (
    Endpoint(method="GET", path="/logins", summary="The logins of the last while", handle=_list, answer=Listing),
    Endpoint(
        method="POST",
        path="/logins",
        summary="Begin a login",
        more="`text` is a file to import, or the OAuth client to sign in with; `extra` is what `/providers` says that "
        "a way wants. 409 comes with the warning that has to be agreed to first (`agree: true`).",
        handle=_begin,
        body=Start,
        answer=Progress,
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path="/logins/{id}",
        summary="How a login is, what it shows and what it wants",
        more="What it shows is an address to open or a code to type there.",
        handle=_look,
        answer=Progress,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path="/logins/{id}/reply",
        summary="Answer what a login wants",
        more="`text` is what it asked for, such as the address that the browser ended at; `yes` agrees.",
        handle=_reply,
        body=Reply,
        answer=Progress,
        errors=(404, 409),
    ),
    Endpoint(
        method="DELETE",
        path="/logins/{id}",
        summary="Call a login off",
        handle=_call_off,
        answer=Progress,
        errors=(404,),
    ),
)
