"""What an answer says beside its body: the failure that it is, and what is left of the account's quota."""

from __future__ import annotations

import time
from dataclasses import replace

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.plan import NO_LEGACY, Plan, whose_fault
from llm_mux.gateway.upstream import Reply
from llm_mux.routing.accounts import Account
from llm_mux.translators.base import Translator

_LEARNABLE = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_ESSENTIAL = frozenset({"model", "messages", "input", "contents", "prompt", "tools", "stream"})
_LIMITS = (Kind.RATE_LIMIT, Kind.QUOTA)
_EVERY_S = 0.25


async def refusal(account: Account, model: str, translator: Translator, reply: Reply) -> MuxError:
    """What an unsuccessful answer means; its rest is that of the quota that it names, where it names one."""
    body = await reply.read_error()
    reply.close()
    return meant(account, model, translator.decode_error(reply.status, reply.lowered, body), reply, body)


def meant(account: Account, model: str, error: MuxError, reply: Reply, body: bytes | None = None) -> MuxError:
    """What an error is at this vendor, also one inside an answer that began well. `body`: what tells of it."""
    headers = reply.lowered
    error = account.provider.refined(error, headers)
    if error.kind in _LIMITS:
        unix = time.time()
        windows = account.provider.windows(headers, error.upstream or b"" if body is None else body, unix)
        wait = account.notice(model, windows, time.monotonic(), unix)
        if wait is not None:
            error = replace(error, retry_after=max(wait, error.retry_after or 0.0))
    return whose_fault(account, error)


def learned(chosen: Plan, error: MuxError) -> bool:
    """Whether the refusal names a parameter that is left out from now on."""
    if chosen.endpoint.operation == "complete" and error.status == 404:
        # Chat models are not at the legacy endpoint; the translated request goes to the one they are at.
        chosen.account.learn(chosen.model, NO_LEGACY)
        return True
    name = error.param
    if error.kind is not Kind.BAD_REQUEST or error.code not in _LEARNABLE or name is None or name in _ESSENTIAL:
        return False
    top = name.split(".", 1)[0]
    if f'"{top}"'.encode() not in chosen.body or top in chosen.account.refuses.get(chosen.model, ()):
        return False
    chosen.account.learn(chosen.model, top)
    return True


def notice_quota(account: Account, model: str, reply: Reply) -> None:
    """Takes note of the quota that a good answer tells of, a few times a second at the most."""
    if account.provider.quota is None:
        return
    now = time.monotonic()
    if now - account.noticed >= _EVERY_S:
        account.noticed = now
        unix = time.time()
        account.notice(model, account.provider.windows(reply.headers, b"", unix), now, unix)
