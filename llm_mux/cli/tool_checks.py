"""What `llm-mux doctor` looks at of the tools that `llm-mux connect` pointed here: address, key, model, and what in the
environment they may go by in place of their settings.

Rule: as in `diagnosis.py`, nothing is changed and nothing is spent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from llm_mux import paths
from llm_mux.cli.client import Client
from llm_mux.cli.connect import ANY_KEY, in_the_way
from llm_mux.cli.diagnosis import Finding
from llm_mux.cli.invocation import Failure

if TYPE_CHECKING:
    from llm_mux.cli.tools.table import Tool, Wanted
    from llm_mux.cli.tools.undo import Change


def connected_tools(wanted: Wanted, *, runs: bool, keys_wanted: bool) -> Iterator[Finding]:
    """How each tool that was connected stands. `wanted`: where the daemon of this machine is, and a key for it."""
    from llm_mux.cli.tools import undo
    from llm_mux.cli.tools.table import TOOLS

    for tool in TOOLS:
        changes = undo.recall(paths.state_dir(os.environ), tool.name)
        if changes:
            yield from _connected(tool, changes, wanted, runs=runs, keys_wanted=keys_wanted)


def _connected(
    tool: Tool, changes: tuple[Change, ...], wanted: Wanted, *, runs: bool, keys_wanted: bool
) -> Iterator[Finding]:
    here, again = wanted.url, f"llm-mux connect {tool.name}"
    texts = [Path(each.file).read_text("utf-8", "replace") for each in changes if Path(each.file).exists()]
    if not any(here in change.written for change in changes):
        yield Finding("tools", "doubtful", f"{tool.title} is connected to another address than {here}", again)
        return
    if not any(here in text for text in texts):
        yield Finding("tools", "doubtful", f"{tool.title}'s settings no longer name {here}", again)
        return
    troubles = [*_told(tool, changes, texts, wanted, runs=runs, keys_wanted=keys_wanted)]
    yield from troubles
    if not troubles:
        yield Finding("tools", "ok", f"{tool.title} is connected to {here}")


def _told(
    tool: Tool, changes: tuple[Change, ...], texts: list[str], wanted: Wanted, *, runs: bool, keys_wanted: bool
) -> Iterator[Finding]:
    """What is wrong with what a tool was told."""
    if keys_wanted and any(f"{mark}{ANY_KEY}{mark}" in text for text in texts for mark in ('"', "=", "'")):
        said = f"{tool.title} sends no client key, and the daemon asks for one"
        yield Finding(
            "tools", "doubtful", said, f"llm-mux keys create NAME, then llm-mux connect {tool.name} --key KEY"
        )
    model = next((each.model for each in changes if each.model), None)
    if model is not None and runs and _gone(model, wanted):
        said = f"{tool.title} was told to use {model}, which the daemon does not have now"
        yield Finding("tools", "doubtful", said, f"llm-mux connect {tool.name} --model NAME")
    yield from _project(tool, wanted)
    if said_of := in_the_way(tool, wanted, os.environ):
        said, _, advice = said_of.rpartition(": ")
        yield Finding("tools", "doubtful", said, advice)


def _project(tool: Tool, wanted: Wanted) -> Iterator[Finding]:
    """Files of the folder that this runs in which name another address for a tool."""
    told = tool.env(wanted) if tool.env is not None else {}
    addresses = [name for name, value in told.items() if value.startswith(wanted.url)]
    addresses += [name.removeprefix("AIDER_").lower().replace("_", "-") for name in addresses if "AIDER" in name]
    for name in tool.in_projects:
        file = Path.cwd() / name
        if file == Path.home() / name or not file.is_file():
            continue
        text = file.read_text("utf-8", "replace")
        if any(address in text for address in addresses) and wanted.url not in text:
            said = f"{file} names another address than {wanted.url}, and {tool.title} goes by it in this folder"
            yield Finding("tools", "doubtful", said, f"take it away there, or: llm-mux run {tool.name}")


def _gone(model: str, wanted: Wanted) -> bool:
    try:
        asked = Client(wanted.url, {"authorization": f"Bearer {wanted.key}"}).get(f"/v1/models/{quote(model, safe='')}")
    except Failure:
        return False
    return asked.status == 404
