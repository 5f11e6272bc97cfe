"""Which model a tool is told to use: one that was named, the tool's own where the daemon has it, else one of the
daemon's, chosen by the person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from llm_mux.cli.client import Client
from llm_mux.cli.invocation import Failure
from llm_mux.cli.said import clean

_SHOWN = 30
_NO_CHAT = ("embed", "-tts", "whisper", "dall-e", "imagen", "veo-", "moderation", "realtime", "transcribe", "-image")
_FAILS = ("demo-429", "demo-500", "demo-cut", "demo-slow")


class NeedsKey(Failure):
    """A daemon answers, and asks for a client key."""


def offered(url: str, key: str) -> dict[str, int | None]:
    """The models that a daemon offers for conversations, with their context in tokens. Raises Failure when none answers
    there, NeedsKey when it wants another key."""
    from llm_mux.cli.models import listed

    client = Client(url, {"authorization": f"Bearer {key}"})
    if client.get("/v1/models", timeout_s=60).status in (401, 403):
        raise NeedsKey(
            f"the daemon at {url} does not take this client key; make one with `llm-mux keys create NAME`, "
            "then say --key KEY"
        )
    return {str(entry["id"]): _context(entry) for entry in listed(client) if _talks(entry)}


def _context(entry: Mapping[str, Any]) -> int | None:
    found = entry.get("context_window")
    return found if isinstance(found, int) and found > 0 else None


def _talks(entry: Mapping[str, Any]) -> bool:
    name = str(entry.get("id", ""))
    return bool(name) and name not in _FAILS and not any(part in name.lower() for part in _NO_CHAT)


def first_of(models: Sequence[str]) -> str | None:
    """What is offered first: a model of the short list of good ones, else the first that there is."""
    from llm_mux.server.top_models import MODELS

    found = set(models)
    return next((top.name for top in MODELS if top.name in found), next(iter(models), None))


def chosen(title: str, own: str | None, models: Sequence[str], *, ask: bool) -> str | None:
    """The model to write down; None leaves it to the tool. `own`: how the names begin that it asks for by itself."""
    if own is not None and any(name.startswith(own) for name in models):
        return None
    preferred = first_of(models)
    if preferred is None or not ask or len(models) == 1:
        return preferred
    click.echo(f"Which model should {title} use? The daemon has:")
    for name in models[:_SHOWN]:
        click.echo(clean(f"  {name}"))
    if len(models) > _SHOWN:
        click.echo(f"  ... and {len(models) - _SHOWN} more (llm-mux models)")
    while True:
        answer = str(click.prompt("Model", default=preferred)).strip()
        if answer in models:
            return answer
        click.echo(f"There is no {clean(answer)} here.")
