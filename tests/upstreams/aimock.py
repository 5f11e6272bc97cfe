"""The independent upstream: npm's @copilotkit/aimock, run by `aimock.mjs`, one process for a whole test session.

It speaks OpenAI chat and Responses, Anthropic, Gemini, Ollama and Bedrock. What it answers is decided by the user's words; the
list is `RULES` in the script beside this file.
"""

import contextlib
import json
import pathlib
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SCRIPT = pathlib.Path(__file__).with_name("aimock.mjs")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One wire format of the mock: how a configuration names it and the model that is asked for there.

    Ollama has no tool choice, and the mock's is thinner than the real one: it counts no tokens, always stops with
    "stop", and gives its reasoning under a name that Ollama does not use.
    """

    format: str
    type: str
    model: str
    version: str = ""
    counts_tokens: bool = True
    tells_length: bool = True
    tells_reasoning: bool = True
    forces_tools: bool = True

    def base_url(self, url: str) -> str:
        """What the vendor's SDK, and a provider's `base-url`, would be given."""
        return url + self.version


UPSTREAMS = (
    Upstream("openai-chat", "openai", "gpt-5-mini", "/v1"),
    Upstream("openai-responses", "openai", "gpt-5", "/v1"),
    Upstream("anthropic", "anthropic", "claude-haiku-4-5"),
    Upstream("gemini", "gemini", "gemini-2.5-flash"),
    Upstream(
        "ollama",
        "ollama",
        "qwen3:8b",
        counts_tokens=False,
        tells_length=False,
        tells_reasoning=False,
        forces_tools=False,
    ),
    Upstream("bedrock", "bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0"),
)


@dataclass(frozen=True, slots=True)
class AiMock:
    """A running mock."""

    url: str

    def seen(self) -> list[dict[str, Any]]:
        """The requests since the last `forget`, as they arrived: method, path, headers, body (text), left."""
        with urllib.request.urlopen(f"{self.url}/seen", timeout=10) as response:
            found: list[dict[str, Any]] = json.load(response)
        return found

    def wait_until_left(self) -> None:
        """Return when a client has gone before its answer ended; `TimeoutError` when none goes within 5 seconds."""
        with urllib.request.urlopen(f"{self.url}/seen/left", timeout=5) as response:
            response.read()

    def forget(self) -> None:
        """Empty the list of requests."""
        request = urllib.request.Request(f"{self.url}/seen", method="DELETE")
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()


def node(node_tools: pathlib.Path) -> str:
    """The Node that the packages need, which may be newer than the machine's."""
    return str(node_tools / "node_modules" / ".bin" / "node")


@contextlib.contextmanager
def aimock(node_tools: pathlib.Path) -> Iterator[AiMock]:
    """Start the mock on a free port; it ends with the block (and with this process, whatever happens)."""
    command = [node(node_tools), str(SCRIPT), str(node_tools / "node_modules")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("aimock did not start; its complaint is above")
        try:
            yield AiMock(json.loads(line)["url"])
        finally:
            process.stdin.close()
            process.wait(timeout=10)
