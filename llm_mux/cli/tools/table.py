"""Every tool as a record: its settings files and the changes in them, the environment that does the same for one run,
and words where there is no file.

Facts: each tool's own documentation of its settings, and what the real programs did (docs/tools/). A key is always
sent: most tools refuse to start without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from llm_mux.cli.tools.edits import Edit, env_values, json_values, toml_values, yaml_item, yaml_values

Values = dict[tuple[str, ...], object]


class Wanted(Struct, frozen=True):
    """What a tool has to be told. `model` None: it chooses one itself. `models`: what the daemon offers, where it could
    be asked; `contexts`: how many tokens of context they take, where that is known."""

    url: str
    key: str
    model: str | None = None
    models: tuple[str, ...] = ()
    contexts: Mapping[str, int] = field(default_factory=dict)

    @property
    def context(self) -> int | None:
        """That of the model that the tool is told."""
        return self.contexts.get(self.model or "")

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


class Settings(Struct, frozen=True):
    """A settings file below the home folder, and the change in it. `home_env` names a variable that moves the first
    folder of it, with `whole_home` the home itself; `instead`: other names that the tool takes for it, used where one
    exists."""

    file: str
    change: Callable[[Wanted], Edit]
    home_env: str | None = None
    whole_home: bool = False
    instead: tuple[str, ...] = ()


class Tool(Struct, frozen=True):
    """`command` starts it; `env` and `arguments` make one run of it use the daemon. `borrowed`: of its settings files
    the one that no variable stands for; a run gets a home of its own in which that one alone differs. `rivals`: other
    variables that send it, or another key, elsewhere; `env_first`: those of `env` come before its files too;
    `in_projects`: its files in a project's folder, which come first as well. `words`: what a person does where there is
    no file, or beside it. `own`: how the models begin that it asks for by itself; None when there are none.
    `needs_model`: it does nothing before it was told one."""

    name: str
    title: str
    command: str | None = None
    settings: tuple[Settings, ...] = ()
    env: Callable[[Wanted], Mapping[str, str]] | None = None
    arguments: Callable[[Wanted], tuple[str, ...]] | None = None
    borrowed: Settings | None = None
    rivals: tuple[str, ...] = ()
    env_first: bool = False
    in_projects: tuple[str, ...] = ()
    words: Callable[[Wanted], str] | None = None
    own: str | None = None
    needs_model: bool = False

    @property
    def runs(self) -> bool:
        return self.command is not None and self.env is not None


def _claude_env(wanted: Wanted) -> dict[str, str]:
    """A model that is not Claude's own stands for all three sizes, or titles and subagents would ask for one that
    nobody has; and its context is told, or a million tokens are assumed."""
    told = {"ANTHROPIC_BASE_URL": wanted.url, "ANTHROPIC_AUTH_TOKEN": wanted.key}
    if wanted.model is None:
        return told
    told["ANTHROPIC_MODEL"] = wanted.model
    if not wanted.model.startswith("claude"):
        told |= {f"ANTHROPIC_DEFAULT_{size}_MODEL": wanted.model for size in ("OPUS", "SONNET", "HAIKU")}
        told |= {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(wanted.context)} if wanted.context else {}
    return told


def _claude_arguments(wanted: Wanted) -> tuple[str, ...]:
    """The `env` of its settings files comes before the environment, and this before theirs."""
    return ("--settings", json.dumps({"env": _claude_env(wanted)}))


def _gemini_env(wanted: Wanted) -> dict[str, str]:
    model = {"GEMINI_MODEL": wanted.model} if wanted.model else {}
    return {"GOOGLE_GEMINI_BASE_URL": wanted.url, "GEMINI_API_KEY": wanted.key, **model}


_GEMINI_AUTH = ("security", "auth", "selectedType")
"""Without it Gemini CLI takes the base URL for a way of its own to sign in, which it then refuses."""


def _openai_env(wanted: Wanted) -> dict[str, str]:
    return {"OPENAI_BASE_URL": wanted.v1, "OPENAI_API_KEY": wanted.key}


def _qwen_env(wanted: Wanted) -> dict[str, str]:
    return {**_openai_env(wanted), **({"OPENAI_MODEL": wanted.model} if wanted.model else {})}


def _qwen_values(wanted: Wanted) -> Values:
    model: Values = {("model", "name"): wanted.model} if wanted.model else {}
    return {_GEMINI_AUTH: "openai", **model}


def _aider_env(wanted: Wanted) -> dict[str, str]:
    model = {"AIDER_MODEL": f"openai/{wanted.model}"} if wanted.model else {}
    return {"AIDER_OPENAI_API_BASE": wanted.v1, "AIDER_OPENAI_API_KEY": wanted.key, **model}


def _aider_lines(wanted: Wanted) -> dict[str, str]:
    model = {"model": f"openai/{wanted.model}"} if wanted.model else {}
    return {"openai-api-base": wanted.v1, "openai-api-key": wanted.key, **model}


def _codex_provider(wanted: Wanted) -> dict[str, str]:
    """A provider of its own: Codex's built-in one asks for a login to ChatGPT first."""
    return {
        "name": "llm-mux",
        "base_url": wanted.v1,
        "wire_api": "responses",
        "experimental_bearer_token": wanted.key,
    }


def _codex_top(wanted: Wanted) -> dict[str, str | int]:
    """Of a model that is not OpenAI's own the context is told: Codex assumes 272,000 tokens."""
    told: dict[str, str | int] = {"model_provider": "llm-mux"}
    if wanted.model:
        told["model"] = wanted.model
        if wanted.context and not wanted.model.startswith("gpt-"):
            told["model_context_window"] = wanted.context
    return told


def _codex_change(wanted: Wanted) -> Edit:
    return toml_values(_codex_top(wanted), {("model_providers", "llm-mux"): _codex_provider(wanted)})


def _codex_arguments(wanted: Wanted) -> tuple[str, ...]:
    told: dict[str, str | int] = {
        f"model_providers.llm-mux.{name}": value for name, value in _codex_provider(wanted).items()
    }
    told |= _codex_top(wanted)
    return tuple(word for name, value in told.items() for word in ("-c", f"{name}={json.dumps(value)}"))


def _opencode(wanted: Wanted) -> Values:
    names = dict.fromkeys((*([wanted.model] if wanted.model else []), *wanted.models))
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "llm-mux",
        "options": {"baseURL": wanted.v1, "apiKey": wanted.key},
        "models": {name: _opencode_limit(wanted.contexts.get(name)) for name in names},
    }
    chosen: Values = {("model",): f"llm-mux/{wanted.model}"} if wanted.model else {}
    return {("provider", "llm-mux"): provider, **chosen}


def _opencode_limit(context: int | None) -> dict[str, object]:
    """Without it opencode never makes a long conversation shorter."""
    return {} if context is None else {"limit": {"context": context, "output": min(32000, context // 4)}}


def _opencode_text(wanted: Wanted) -> str:
    return json_values(_opencode(wanted))("")


def _continue_item(wanted: Wanted) -> dict[str, str]:
    model = wanted.model or "MODEL"
    return {"name": "llm-mux", "provider": "openai", "model": model, "apiBase": wanted.v1, "apiKey": wanted.key}


def _cline(wanted: Wanted) -> Values:
    provider = {
        "provider": "openai-compatible",
        "apiKey": wanted.key,
        "model": wanted.model or "MODEL",
        "baseUrl": wanted.v1,
    }
    return {
        ("version",): 1,
        ("lastUsedProvider",): "openai-compatible",
        ("providers", "openai-compatible", "settings"): provider,
        ("providers", "openai-compatible", "tokenSource"): "manual",
        ("providers", "openai-compatible", "updatedAt"): "2026-01-01T00:00:00.000Z",
    }


def _cline_words(wanted: Wanted) -> str:
    return (
        "That is for Cline in the terminal. Inside VS Code, open Cline's settings and choose\n"
        f"  API Provider: OpenAI Compatible\n  Base URL: {wanted.v1}\n  API Key: {wanted.key}\n"
        f"  Model ID: {wanted.model or 'one of `llm-mux models`'}"
    )


def _zed(wanted: Wanted) -> Values:
    """The provider is called `mux`: Zed takes its key from $MUX_API_KEY, and $LLM_MUX_* is the daemon's own."""
    names = dict.fromkeys((*([wanted.model] if wanted.model else []), *wanted.models))
    listed = [{"name": name, "max_tokens": wanted.contexts.get(name, 200000)} for name in names]
    chosen: Values = {("agent", "default_model"): {"provider": "mux", "model": wanted.model}} if wanted.model else {}
    return {
        ("language_models", "openai_compatible", "mux"): {"api_url": wanted.v1, "available_models": listed},
        **chosen,
    }


def _zed_words(wanted: Wanted) -> str:
    return (
        "Zed keeps keys itself: in Agent Settings, LLM Providers, mux, enter once (or set $MUX_API_KEY)\n"
        f"  {wanted.key}"
    )


def _cursor_words(wanted: Wanted) -> str:
    return (
        "Cursor's own servers ask the models, so localhost alone cannot be reached. In Cursor Settings, Models:\n"
        f"  OpenAI API Key: {wanted.key}\n"
        f"  Override OpenAI Base URL: a public https address that leads to {wanted.v1}\n"
        f"  Add model: {wanted.model or 'one of `llm-mux models`'}\n"
        "(a tunnel of yours; then set `allowed-hosts` and client keys first: docs/tools/cursor.md)."
    )


def _webui_env(wanted: Wanted) -> dict[str, str]:
    return {"OPENAI_API_BASE_URL": wanted.v1, "OPENAI_API_KEY": wanted.key}


def _webui_words(wanted: Wanted) -> str:
    inside = wanted.v1.replace("127.0.0.1", "host.docker.internal").replace("localhost", "host.docker.internal")
    return (
        "Open WebUI keeps its settings in its own database. Either in Admin Settings, Connections, OpenAI API:\n"
        f"  URL: {wanted.v1}\n  Key: {wanted.key}\n"
        "or at its first start, installed with pip: llm-mux run open-webui -- serve\n"
        "or in a container:\n"
        "  docker run --add-host host.docker.internal:host-gateway "
        f"-e OPENAI_API_BASE_URL={inside} -e OPENAI_API_KEY={wanted.key} ... open-webui\n"
        "(a container does not reach a daemon that listens on loopback only: docs/tools/open-webui.md)."
    )


def _json(values: Callable[[Wanted], Values]) -> Callable[[Wanted], Edit]:
    return lambda wanted: json_values(values(wanted))


_GEMINI_SETTINGS = Settings(
    ".gemini/settings.json", _json(lambda wanted: {_GEMINI_AUTH: "gemini-api-key"}), "GEMINI_CLI_HOME", True
)

TOOLS = (
    Tool(
        "claude-code",
        "Claude Code",
        "claude",
        (
            Settings(
                ".claude/settings.json",
                _json(lambda wanted: {("env", name): value for name, value in _claude_env(wanted).items()}),
                "CLAUDE_CONFIG_DIR",
            ),
        ),
        _claude_env,
        arguments=_claude_arguments,
        own="claude-",
        rivals=(
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
        ),
        in_projects=(".claude/settings.json", ".claude/settings.local.json"),
    ),
    Tool(
        "codex",
        "Codex",
        "codex",
        (Settings(".codex/config.toml", _codex_change, "CODEX_HOME"),),
        env=lambda wanted: {},
        arguments=_codex_arguments,
        own="gpt-",
    ),
    Tool(
        "gemini-cli",
        "Gemini CLI",
        "gemini",
        (
            Settings(".gemini/.env", lambda wanted: env_values(_gemini_env(wanted)), "GEMINI_CLI_HOME", True),
            _GEMINI_SETTINGS,
        ),
        _gemini_env,
        borrowed=_GEMINI_SETTINGS,
        rivals=("GOOGLE_API_KEY",),
        env_first=True,
        in_projects=(".gemini/.env", ".env"),
        words=lambda wanted: (
            "Gemini CLI reads ~/.gemini/.env in folders that you trust only; it asks at its start there."
        ),
        own="gemini-",
    ),
    Tool(
        "opencode",
        "opencode",
        "opencode",
        (Settings(".config/opencode/opencode.json", _json(_opencode), instead=(".config/opencode/opencode.jsonc",)),),
        needs_model=True,
        env=lambda wanted: {"OPENCODE_CONFIG_CONTENT": _opencode_text(wanted)},
    ),
    Tool(
        "qwen-code",
        "Qwen Code",
        "qwen",
        (
            Settings(".qwen/.env", lambda wanted: env_values(_qwen_env(wanted))),
            Settings(".qwen/settings.json", _json(_qwen_values)),
        ),
        _qwen_env,
        env_first=True,
        in_projects=(".qwen/.env", ".env"),
    ),
    Tool(
        "aider",
        "aider",
        "aider",
        (Settings(".aider.conf.yml", lambda wanted: yaml_values(_aider_lines(wanted))),),
        _aider_env,
        env_first=True,
        in_projects=(".aider.conf.yml", ".env"),
    ),
    Tool(
        "continue",
        "Continue",
        "cn",
        (
            Settings(
                ".continue/config.yaml",
                lambda wanted: yaml_item(
                    "models", _continue_item(wanted), empty="name: Local\nversion: 1.0.0\nschema: v1\n"
                ),
            ),
        ),
        needs_model=True,
    ),
    Tool(
        "cline",
        "Cline",
        "cline",
        (Settings(".cline/data/settings/providers.json", _json(_cline)),),
        words=_cline_words,
        needs_model=True,
    ),
    Tool(
        "zed",
        "Zed",
        "zed",
        (Settings(".config/zed/settings.json", _json(_zed)),),
        words=_zed_words,
        needs_model=True,
    ),
    Tool(
        "open-webui",
        "Open WebUI",
        "open-webui",
        env=_webui_env,
        rivals=("OPENAI_API_BASE_URLS", "OPENAI_API_KEYS", "ENABLE_OPENAI_API"),
        words=_webui_words,
        own="",
    ),
    Tool("cursor", "Cursor", words=_cursor_words),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
