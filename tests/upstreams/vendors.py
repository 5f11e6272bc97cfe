"""The configuration entries that lead to the played backends, for the tests and for a person:

`python -m tests.upstreams.vendors codex` runs OpenAI's login and the Codex backend on a free port and prints the
configuration with which `llm-mux login codex` and the daemon use them exactly as they use the real ones.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml

from tests.upstreams import github
from tests.upstreams.codex import CodexBackend
from tests.upstreams.github import GitHubBackend
from tests.upstreams.google import GoogleBackend
from tests.upstreams.plans import ClaudeBackend, KimiBackend, XaiBackend
from tests.upstreams.played import Played

FAST = {"poll-s": 0.01}
"""Played servers are asked at once whether their code was typed in."""

Entry = Callable[[str], dict[str, Any]]


def codex(url: str) -> dict[str, Any]:
    facts = {
        "issuer": url,
        "authorize-url": f"{url}/oauth/authorize",
        "token-url": f"{url}/oauth/token",
        "device-url": f"{url}/api/accounts/deviceauth/usercode",
    }
    return {"type": "codex", "base-url": f"{url}/backend-api/codex", "oauth": {**facts, **FAST}}


def copilot(url: str) -> dict[str, Any]:
    facts = {
        "device-url": f"{url}/login/device/code",
        "token-url": f"{url}/login/oauth/access_token",
        "userinfo-url": f"{url}/user",
        "addresses": {"copilot-token": f"{url}/copilot_internal/v2/token"},
        "client-id": github.CLIENT,
    }
    return {"type": "copilot", "oauth": {**facts, **FAST}, "options": {"integration-id": github.INTEGRATION}}


def kimi(url: str) -> dict[str, Any]:
    facts = {"device-url": f"{url}/api/oauth/device_authorization", "token-url": f"{url}/api/oauth/token"}
    return {"type": "kimi", "base-url": f"{url}/coding", "oauth": {**facts, **FAST}}


def xai(url: str) -> dict[str, Any]:
    return {"type": "xai", "base-url": f"{url}/v1", "oauth": {"issuer": url, **FAST}}


def claude(url: str) -> dict[str, Any]:
    facts = {"authorize-url": f"{url}/oauth/authorize", "token-url": f"{url}/v1/oauth/token"}
    return {"type": "anthropic", "base-url": url, "oauth": facts}


def google(kind: str) -> Entry:
    def entry(url: str) -> dict[str, Any]:
        facts = {
            "authorize-url": f"{url}/o/oauth2/v2/auth",
            "token-url": f"{url}/token",
            "revoke-url": f"{url}/revoke",
            "userinfo-url": f"{url}/userinfo",
            "addresses": {"code-assist": url, "services": url},
        }
        return {"type": kind, "base-url": url, "oauth": facts}

    return entry


PLAYED: dict[str, tuple[Callable[[], Played], Entry]] = {
    "codex": (CodexBackend, codex),
    "copilot": (lambda: GitHubBackend(now=time.time()), copilot),
    "kimi": (KimiBackend, kimi),
    "xai": (lambda: XaiBackend(now=time.time()), xai),
    "claude": (ClaudeBackend, claude),
    "gemini": (GoogleBackend, google("gemini")),
    "vertex": (GoogleBackend, google("vertex")),
}


async def play(name: str) -> None:
    """Runs a vendor's backend until the process is ended."""
    made, entry = PLAYED[name]
    async with made() as backend:
        print(yaml.safe_dump({"providers": [entry(backend.url)]}, sort_keys=False), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1]))
