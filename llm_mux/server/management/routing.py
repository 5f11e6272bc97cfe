"""Routing over the management API: why a model goes where it goes, and which accounts rest."""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from llm_mux.config import Loaded
from llm_mux.errors import Kind, MuxError
from llm_mux.routing.explain import Target
from llm_mux.routing.rests import Rest, listed
from llm_mux.server import together
from llm_mux.server.management.endpoint import Call, Endpoint
from llm_mux.server.management.keys import scopes_of
from llm_mux.server.management.settings import put
from llm_mux.server.peers import Clearing
from llm_mux.server.reload import State

Name = Annotated[str, Meta(min_length=1, max_length=512)]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A request as far as the choice depends on it: `conversation` is its session id, `size` its bytes, `key` the name
    or id of its client's key."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    conversation: Annotated[str, Meta(max_length=512)] = ""
    size: Annotated[int, Meta(ge=0, le=2**40)] = 0
    key: Annotated[str, Meta(max_length=512)] | None = None


class Link(Struct, frozen=True):
    """A name of the chain: the one that was asked for, or a fallback. `problem`: why it leads nowhere."""

    name: str
    problem: str | None


class Explanation(Struct, frozen=True):
    """`targets` in the order in which they would be asked, those that are passed over after them."""

    model: str
    strategy: str
    chain: list[Link]
    targets: list[Target]


async def _explain(call: Call) -> Explanation:
    asked: Asked = call.query
    gateway = call.daemon.gateway
    scopes = None if asked.key is None else await scopes_of(call, asked.key)
    chain, targets = await gateway.explained(asked.model, asked.conversation, asked.size, scopes)
    links = [Link(each.name, each.problem) for each in chain]
    return Explanation(asked.model, gateway.choice.strategy, links, targets)


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    """All aliases, or all fallbacks, that the file is to have; those that are not given stay as they are."""

    aliases: dict[Name, Name] | UnsetType = UNSET
    fallbacks: dict[Name, Annotated[list[Name], Meta(min_length=1, max_length=20)]] | UnsetType = UNSET


async def _rename(call: Call) -> State:
    """Comments and everything else in the file stay."""
    from llm_mux.config.edits import Unedited, with_mapping

    given = {"aliases": call.body.aliases, "fallbacks": call.body.fallbacks}

    def change(loaded: Loaded) -> str:
        text = loaded.text
        try:
            for key, wanted in given.items():
                if wanted is not UNSET:
                    text = with_mapping(text, key, wanted)
        except Unedited as error:
            message = f"The file cannot be changed from here, for {error}: change it in the configuration editor."
            raise MuxError(Kind.CONFLICT, message, code="config_not_editable") from None
        return text

    return await put(call, change)


class Rests(Struct, frozen=True):
    """What is not asked at present."""

    cooldowns: list[Rest]


async def _list(call: Call) -> Rests:
    gateway = call.daemon.gateway
    return Rests(listed(gateway.accounts, gateway.standing.hosts, time.monotonic()))


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """`account` is `provider/label`, or a provider for all of its accounts; nothing given: all rests."""

    account: Annotated[str, Meta(max_length=512)] | None = None
    model: Annotated[str, Meta(max_length=512)] | None = None


class Cleared(Struct, frozen=True):
    """What does not rest any more: accounts, each with its model where it was about one."""

    cleared: list[str]


async def _clear(call: Call) -> Cleared:
    which: Which = call.query
    gateway = call.daemon.gateway
    known = {each.name for each in gateway.accounts} | {each.provider.name for each in gateway.accounts}
    if which.account is not None and which.account not in known:
        message = f"There is no account `{which.account}`."
        raise MuxError(Kind.NOT_FOUND, message, param="account", code="unknown_account")
    await together.tell(call.daemon, clearing=Clearing(which.account, which.model))
    return Cleared(gateway.clear(which.account, which.model))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/routes/explain",
        summary="Where a request for a model would go, and why",
        more="In which order, and why others are passed over. `conversation`, `size` (bytes) and `key` (name or id "
        "of the client's key) where they matter.",
        handle=_explain,
        query=Asked,
        answer=Explanation,
        errors=(403, 404, 503),
    ),
    Endpoint(
        method="PUT",
        path="/routes",
        summary="Change the aliases and the fallbacks in the configuration file and put them in effect",
        more="The comments of the file stay. What is sent takes the place of all aliases, or of all fallbacks.",
        handle=_rename,
        body=Names,
        answer=State,
        errors=(409,),
    ),
    Endpoint(
        method="GET",
        path="/cooldowns",
        summary="Accounts that rest",
        more="Account, model, why, until when.",
        handle=_list,
        answer=Rests,
    ),
    Endpoint(
        method="DELETE",
        path="/cooldowns",
        summary="End rests by hand",
        more="All of them, or those of `account` (`provider/label` or a provider) and `model`.",
        handle=_clear,
        query=Which,
        answer=Cleared,
        errors=(404,),
    ),
)
