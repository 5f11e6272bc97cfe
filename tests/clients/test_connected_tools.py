"""Each coding tool that npm has, with exactly what `llm-mux connect` writes and what `llm-mux run` sets, does a task.

What is behind is the scripted mock of test_coding_tools.py, for `run` the demo model, whose call of the tool's own tool has
to be one that it takes. The facts that docs/tools/ tells come from here.
"""

import contextlib
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.clients.crossing import DIRECT
from tests.clients.workplace import Workplace

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the daemon is what is connected")]

MODEL = "mux-anthropic"


@dataclass(frozen=True, slots=True)
class Headless:
    """How a tool is run without a person: the program, its words around the task, and variables that it needs there."""

    tool: str
    program: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


TRUSTED = {"GEMINI_CLI_TRUST_WORKSPACE": "true"}
# Qwen Code takes $HTTPS_PROXY for every address, this machine's too.
NO_PROXY = {"HTTPS_PROXY": ""}
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
TOOLS = (
    Headless("claude-code", "claude", ("--permission-mode", "acceptEdits", "-p"), env=QUIET),
    Headless("codex", "codex", ("exec", "--dangerously-bypass-approvals-and-sandbox")),
    Headless("gemini-cli", "gemini", ("--yolo", "-p"), env=TRUSTED),
    Headless("opencode", "opencode", ("run",), env={"OPENCODE_DISABLE_AUTOUPDATE": "1"}),
    Headless("qwen-code", "qwen", ("--yolo", "-p"), env=NO_PROXY),
    Headless("continue", "cn", ("--auto", "-p")),
    Headless("cline", "cline", ("--json",)),
)
RUN = tuple(each for each in TOOLS if each.tool not in ("continue", "cline"))


@pytest.fixture(autouse=True)
def no_hub_left(workplace: Workplace) -> Iterator[None]:
    """Cline leaves a process of its own behind."""
    yield
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--cline-hub-daemon" in words and str(workplace.repository).encode() in words:
                os.kill(int(folder.name), signal.SIGTERM)


@pytest.mark.parametrize("headless", TOOLS, ids=lambda each: each.tool)
def test_a_tool_that_was_connected_works_and_is_put_back(workplace: Workplace, mux: str, headless: Headless) -> None:
    workplace.mux("connect", headless.tool, "--yes", "--url", mux, "--model", MODEL)
    printed = workplace.run(headless.program, *headless.before, workplace.task, *headless.after, **headless.env)
    assert workplace.file.read_text().strip() == "ahoy", printed
    workplace.mux("connect", headless.tool, "--undo")
    left = [path for path in workplace.home.rglob("*") if path.is_file() and mux.encode() in path.read_bytes()]
    settings = {".json", ".toml", ".yaml", ".yml", ".env", ""}
    assert [path for path in left if path.suffix in settings and "sessions" not in path.parts] == []


@pytest.mark.parametrize("headless", RUN, ids=lambda each: each.tool)
def test_a_tool_that_is_run_works_with_the_demo_and_keeps_its_settings(
    workplace: Workplace, demo: str, headless: Headless
) -> None:
    words = (*headless.before, workplace.task, *headless.after)
    misled = {"GOOGLE_API_KEY": "another", "ANTHROPIC_API_KEY": "another", "CLAUDE_CODE_USE_BEDROCK": "1"}
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    kept = workplace.home / ".gemini" / "settings.json"
    kept.parent.mkdir()
    kept.write_text('{"security": {"auth": {"selectedType": "oauth-personal"}}}')
    project = workplace.repository / ".claude" / "settings.local.json"
    project.parent.mkdir()
    project.write_text('{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}}')
    command = ("run", headless.tool, "--url", demo, "--", *words)
    printed = workplace.mux(*command, **{**misled, **nowhere, **headless.env})
    assert workplace.file.read_text().strip() == "ahoy", printed
    assert "oauth-personal" in kept.read_text()


def test_a_tool_whose_models_nobody_has_is_told_one_that_is_there(workplace: Workplace, mux: str) -> None:
    workplace.mux("connect", "continue", "--yes", "--url", mux)
    assert f'apiBase: "{mux}/v1"' in (workplace.home / ".continue" / "config.yaml").read_text()
    workplace.mux("connect", "opencode", "--yes", "--url", mux)
    settings = json.loads((workplace.home / ".config" / "opencode" / "opencode.json").read_text())
    listed = settings["provider"]["llm-mux"]["models"]
    assert MODEL in listed
    assert settings["model"].removeprefix("llm-mux/") in listed
