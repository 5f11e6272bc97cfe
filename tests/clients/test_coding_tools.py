"""Real coding tools do a task with their own tools, in a temporary git repository, through the daemon.

The model behind is the scripted mock: asked to create a file, it calls whichever file-writing tool it was given, and
says so when the result came back. Nothing else is reachable: every other address goes to a proxy that is not there.
"""

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.clients.crossing import DIRECT, alias
from tests.upstreams.aimock import AiMock, Upstream

pytestmark = pytest.mark.node

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Workplace:
    """A fresh home, a fresh git repository, and the installed tools."""

    home: pathlib.Path
    repository: pathlib.Path
    binaries: pathlib.Path

    @property
    def file(self) -> pathlib.Path:
        return self.repository / "greeting.txt"

    @property
    def task(self) -> str:
        return f"create the file {self.file} with the word ahoy"

    def run(self, tool: str, *arguments: str, **settings: str) -> str:
        """What the tool printed; it must succeed."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            **settings,
        }
        done = subprocess.run(
            [str(self.binaries / tool), *arguments],
            cwd=self.repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture
def workplace(tmp_path: pathlib.Path, node_tools: pathlib.Path) -> Workplace:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    return Workplace(home, repository, node_tools / "node_modules" / ".bin")


def _model(upstream: Upstream, spoken: str) -> str:
    if DIRECT and upstream.format != spoken:
        pytest.skip("straight to the mock each tool speaks its own format only")
    return upstream.model if DIRECT else alias(upstream)


def test_claude_code_writes_a_file(workplace: Workplace, mux: str, upstream: Upstream) -> None:
    model = _model(upstream, "anthropic")
    options = (
        "--model",
        model,
        "--output-format",
        "json",
        "--permission-mode",
        "acceptEdits",
        "--allowedTools",
        "Write",
    )
    printed = workplace.run(
        "claude",
        "-p",
        workplace.task,
        *options,
        ANTHROPIC_BASE_URL=mux,
        ANTHROPIC_API_KEY="test",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )
    result = json.loads(printed)
    assert (result["subtype"], result["is_error"], result["num_turns"]) == ("success", False, 2)
    assert result["result"] == f"I created {workplace.file}."
    assert workplace.file.read_text() == "ahoy\n"
    assert result["permission_denials"] == []


CODEX_PROVIDER = """
model = "{model}"
model_provider = "mux"
[model_providers.mux]
name = "mux"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "MUX_KEY"
"""
CODEX_BUILT_IN = """
model = "{model}"
openai_base_url = "{url}/v1"
"""


def _codex(workplace: Workplace, settings: str) -> None:
    (workplace.home / ".codex" / "config.toml").write_text(settings, encoding="utf-8")
    options = ("--json", "--dangerously-bypass-approvals-and-sandbox", "-C", str(workplace.repository))
    home = str(workplace.home / ".codex")
    printed = workplace.run(
        "codex", "exec", *options, workplace.task, CODEX_HOME=home, MUX_KEY="test", CODEX_API_KEY="test"
    )
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert said[-1] == f"I created {workplace.file}."
    assert events[-1]["type"] == "turn.completed"
    assert workplace.file.read_text() == "ahoy\n"


def test_codex_writes_a_file(workplace: Workplace, mux: str, upstream: Upstream) -> None:
    _codex(workplace, CODEX_PROVIDER.format(model=_model(upstream, "openai-responses"), url=mux))


@pytest.mark.covers("RC-1")
@pytest.mark.skipif(DIRECT, reason="the mock's websocket is its own affair")
def test_codex_gets_its_answers_from_the_built_in_provider_too(workplace: Workplace, mux: str, mock: AiMock) -> None:
    """That provider tries a WebSocket first."""
    mock.forget()
    _codex(workplace, CODEX_BUILT_IN.format(model="mux-anthropic", url=mux))
    assert len([entry for entry in mock.seen() if entry["method"] == "POST"]) == 2


def connected(workplace: Workplace, mux: str, tool: str, model: str) -> None:
    """What `llm-mux connect` does for a person at this home."""
    command = [sys.executable, "-m", "llm_mux", "connect", tool, "--yes", "--url", mux, "--model", model]
    environment = {"PATH": os.environ["PATH"], "HOME": str(workplace.home), "LLM_MUX_HOME": str(workplace.home / "mux")}
    subprocess.run(command, env=environment, check=True, capture_output=True)


@pytest.mark.skipif(DIRECT, reason="the daemon is what is connected")
def test_claude_code_that_was_connected_needs_nothing_more(workplace: Workplace, mux: str) -> None:
    connected(workplace, mux, "claude-code", "mux-anthropic")
    options = ("--output-format", "json", "--permission-mode", "acceptEdits", "--allowedTools", "Write")
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    result = json.loads(workplace.run("claude", "-p", workplace.task, *options, **quiet))
    assert result["result"] == f"I created {workplace.file}."
    assert workplace.file.read_text() == "ahoy\n"


@pytest.mark.skipif(DIRECT, reason="the daemon is what is connected")
def test_codex_that_was_connected_needs_only_a_key(workplace: Workplace, mux: str) -> None:
    connected(workplace, mux, "codex", "mux-anthropic")
    options = ("--json", "--dangerously-bypass-approvals-and-sandbox", "-C", str(workplace.repository))
    workplace.run("codex", "exec", *options, workplace.task, CODEX_API_KEY="test")
    assert workplace.file.read_text() == "ahoy\n"
