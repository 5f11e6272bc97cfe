"""Real coding tools do a task with their own tools, in a temporary git repository, through the daemon.

The model behind is the scripted mock: asked to create a file, it calls whichever file-writing tool it was given, and
says so when the result came back. Nothing else is reachable: every other address goes to a proxy that is not there.
"""

import json

import pytest

from tests.clients.crossing import DIRECT, alias
from tests.clients.workplace import Workplace
from tests.upstreams.aimock import AiMock, Upstream

pytestmark = pytest.mark.node


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
