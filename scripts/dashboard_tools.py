"""Prints what the dashboard says of connecting tools: the table of `llm-mux connect`, with marks for what is not known.

Run as `python -m scripts.dashboard_tools`. The page puts its own address, a key and a model in place of the marks.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from llm_mux.cli.tools.table import TOOLS, Tool, Wanted

PAGE = pathlib.Path(__file__).parents[1] / "llm_mux" / "server" / "dashboard" / "static" / "tools.json"
URL = "http://127.0.0.1:8317"
KEY = "LLM-MUX-KEY"
MODEL = "MODEL-NAME"


def page() -> str:
    return json.dumps({"tools": [_tool(tool) for tool in TOOLS]}, indent=1, ensure_ascii=False) + "\n"


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "title": tool.title,
        "runs": tool.runs,
        "plain": _told(tool, Wanted(URL, KEY)),
        "model": _told(tool, Wanted(URL, KEY, MODEL, (MODEL,))),
    }


def _told(tool: Tool, wanted: Wanted) -> dict[str, Any]:
    return {
        "files": list(_files(tool, wanted)),
        "env": dict(tool.env(wanted)) if tool.env is not None else {},
        "words": tool.words(wanted) if tool.words is not None else None,
    }


def _files(tool: Tool, wanted: Wanted) -> Iterator[dict[str, str]]:
    """Each settings file as it would be if there were none yet."""
    for each in tool.settings:
        yield {"file": f"~/{each.file}", "text": each.change(wanted)("")}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
