"""The official JavaScript SDKs, and the AI SDK with its providers, through the daemon: text, stream, a tool's round trip.

One Node process per SDK asks every upstream format; the scripts are in tests/node.
"""

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest

from tests.clients.crossing import DIRECT, alias
from tests.upstreams.aimock import UPSTREAMS, Upstream, node

pytestmark = pytest.mark.node

SCRIPTS = pathlib.Path(__file__).parents[1] / "node"
NATIVE = {
    "openai-chat": "openai-chat",
    "openai-responses": "openai-responses",
    "anthropic": "anthropic",
    "google-genai": "gemini",
    "ollama": "ollama",
    "ai-sdk openai": "openai-responses",
    "ai-sdk openai-compatible": "openai-chat",
    "ai-sdk anthropic": "anthropic",
    "ai-sdk google": "gemini",
}
"""Client -> the format it speaks."""


def _models(client: str) -> dict[str, Upstream]:
    if DIRECT:
        return {upstream.model: upstream for upstream in UPSTREAMS if upstream.format == NATIVE[client]}
    return {alias(upstream): upstream for upstream in UPSTREAMS}


@pytest.mark.parametrize("client", NATIVE)
def test_text_streams_and_tools_through_every_upstream(
    client: str, mux: str, node_tools: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    if DIRECT and client == "google-genai":
        pytest.skip("the mock does not know the API version that this SDK uses")
    script, _, provider = client.partition(" ")
    models = _models(client)
    found = _run(node_tools, tmp_path, f"{script}.mjs", mux, *models, provider=provider)
    for model in models:
        answers = found[model]
        assert answers["text"] == "Hello from the other side.", (model, answers)
        assert answers["stream"] == "Hello from the other side.", (model, answers)
        for case in answers.keys() - {"text", "stream"}:
            assert answers[case]["city"] == "Paris", (model, case, answers)
            assert answers[case]["text"].startswith("The tool said: "), (model, case, answers)
            assert "sunny" in answers[case]["text"], (model, case, answers)


def _run(
    node_tools: pathlib.Path, folder: pathlib.Path, script: str, *arguments: str, provider: str
) -> dict[str, dict[str, Any]]:
    """Node looks for packages beside the script, so the scripts are copied beside a link to them."""
    (folder / "node_modules").symlink_to(node_tools / "node_modules")
    for source in SCRIPTS.glob("*.mjs"):
        (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    environment = {**os.environ, "AI_PROVIDER": provider, "AI_SDK_LOG_WARNINGS": "false", "NODE_NO_WARNINGS": "1"}
    done = subprocess.run(
        [node(node_tools), script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
