"""Every tool as a record: its settings file and the change in it, the environment that does the same for one run, and
words where there is no file.

Facts: each tool's own documentation of its settings. A key is always sent: most tools refuse to start without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_mux.cli.tools.edits import Edit, env_values, json_values, toml_values, yaml_values


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a tool has to be told. `model` None: it chooses one itself."""

    url: str
    key: str
    model: str | None = None

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


@dataclass(frozen=True, slots=True)
class Tool:
    """`command` starts it. `file` is its settings file below the home folder (`home_env` names a variable that moves
    the first folder of it), `change` what is done there; `env` the variables that say the same; `words` what a person
    does where there is no file, or beside it."""

    name: str
    title: str
    command: str | None
    file: str | None = None
    home_env: str | None = None
    change: Callable[[Wanted], Edit] | None = None
    env: Callable[[Wanted], Mapping[str, str]] | None = None
    words: Callable[[Wanted], str] | None = None


def _claude_env(wanted: Wanted) -> dict[str, str]:
    model = {"ANTHROPIC_MODEL": wanted.model} if wanted.model else {}
    return {"ANTHROPIC_BASE_URL": wanted.url, "ANTHROPIC_AUTH_TOKEN": wanted.key, **model}


def _gemini_env(wanted: Wanted) -> dict[str, str]:
    model = {"GEMINI_MODEL": wanted.model} if wanted.model else {}
    return {"GOOGLE_GEMINI_BASE_URL": wanted.url, "GEMINI_API_KEY": wanted.key, **model}


def _openai_env(wanted: Wanted) -> dict[str, str]:
    return {"OPENAI_BASE_URL": wanted.v1, "OPENAI_API_KEY": wanted.key}


def _qwen_env(wanted: Wanted) -> dict[str, str]:
    return {**_openai_env(wanted), **({"OPENAI_MODEL": wanted.model} if wanted.model else {})}


def _aider_env(wanted: Wanted) -> dict[str, str]:
    model = {"AIDER_MODEL": f"openai/{wanted.model}"} if wanted.model else {}
    return {"AIDER_OPENAI_API_BASE": wanted.v1, "AIDER_OPENAI_API_KEY": wanted.key, **model}


def _aider_lines(wanted: Wanted) -> dict[str, str]:
    model = {"model": f"openai/{wanted.model}"} if wanted.model else {}
    return {"openai-api-base": wanted.v1, "openai-api-key": wanted.key, **model}


def _codex_lines(wanted: Wanted) -> dict[str, str]:
    return {"openai_base_url": wanted.v1, **({"model": wanted.model} if wanted.model else {})}


def _codex_env(wanted: Wanted) -> dict[str, str]:
    return {"OPENAI_BASE_URL": wanted.v1, "CODEX_API_KEY": wanted.key}


def _opencode(wanted: Wanted) -> dict[str, object]:
    models: dict[str, object] = {wanted.model: {}} if wanted.model else {}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "llm-mux",
        "options": {"baseURL": wanted.v1, "apiKey": wanted.key},
        "models": models,
    }
    chosen = {"model": f"llm-mux/{wanted.model}"} if wanted.model else {}
    return {"provider.llm-mux": provider, **chosen}


def _continue_words(wanted: Wanted) -> str:
    model = wanted.model or "MODEL"
    return (
        "In ~/.continue/config.yaml add under `models:`\n"
        f"  - name: llm-mux\n    provider: openai\n    model: {model}\n"
        f"    apiBase: {wanted.v1}\n    apiKey: {wanted.key}"
    )


def _zed(wanted: Wanted) -> dict[str, object]:
    listed = [{"name": wanted.model, "max_tokens": 200000}] if wanted.model else []
    return {"language_models.openai": {"api_url": wanted.v1, "available_models": listed}}


def _cline_words(wanted: Wanted) -> str:
    return (
        "Cline keeps its settings inside VS Code. Open its settings there and choose\n"
        f"  API Provider: OpenAI Compatible\n  Base URL: {wanted.v1}\n  API Key: {wanted.key}\n"
        f"  Model ID: {wanted.model or 'one of `llm-mux models`'}"
    )


def _cursor_words(wanted: Wanted) -> str:
    return (
        "Cursor's own servers ask the models, so localhost alone cannot be reached. In Cursor Settings, Models:\n"
        f"  OpenAI API Key: {wanted.key}\n"
        f"  Override OpenAI Base URL: a public https address that leads to {wanted.v1}\n"
        "(a tunnel of yours; then set `allowed-hosts` and client keys first: docs/configuration.md)."
    )


def _webui_words(wanted: Wanted) -> str:
    inside = wanted.v1.replace("127.0.0.1", "host.docker.internal").replace("localhost", "host.docker.internal")
    return (
        "Open WebUI takes it in Admin Settings, Connections, OpenAI API, or when its container is started:\n"
        f"  docker run -e OPENAI_API_BASE_URL={inside} -e OPENAI_API_KEY={wanted.key} ... open-webui"
    )


TOOLS = (
    Tool(
        "claude-code",
        "Claude Code",
        "claude",
        ".claude/settings.json",
        "CLAUDE_CONFIG_DIR",
        lambda wanted: json_values({f"env.{name}": value for name, value in _claude_env(wanted).items()}),
        _claude_env,
    ),
    Tool(
        "codex",
        "Codex",
        "codex",
        ".codex/config.toml",
        "CODEX_HOME",
        lambda wanted: toml_values(_codex_lines(wanted)),
        _codex_env,
        lambda wanted: f"Codex also wants a key once: printf %s {wanted.key} | codex login --with-api-key",
    ),
    Tool(
        "gemini-cli",
        "Gemini CLI",
        "gemini",
        ".gemini/.env",
        None,
        lambda wanted: env_values(_gemini_env(wanted)),
        _gemini_env,
    ),
    Tool(
        "opencode",
        "opencode",
        "opencode",
        ".config/opencode/opencode.json",
        None,
        lambda wanted: json_values(_opencode(wanted)),
    ),
    Tool(
        "qwen-code",
        "Qwen Code",
        "qwen",
        ".qwen/.env",
        None,
        lambda wanted: env_values(_qwen_env(wanted)),
        _qwen_env,
    ),
    Tool(
        "aider",
        "aider",
        "aider",
        ".aider.conf.yml",
        None,
        lambda wanted: yaml_values(_aider_lines(wanted)),
        _aider_env,
    ),
    Tool("continue", "Continue", None, words=_continue_words),
    Tool("cline", "Cline", None, words=_cline_words),
    Tool(
        "zed",
        "Zed",
        "zed",
        ".config/zed/settings.json",
        None,
        lambda wanted: json_values(_zed(wanted)),
        lambda wanted: {"OPENAI_API_KEY": wanted.key},
        lambda wanted: f"Zed asks for the key once, in its agent panel: {wanted.key}",
    ),
    Tool("open-webui", "Open WebUI", None, words=_webui_words),
    Tool("cursor", "Cursor", None, words=_cursor_words),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
