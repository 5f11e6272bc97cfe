"""Writes the pages of docs/ that have one page a thing: `python -m scripts.pages` (a tool, a provider).

Rule: facts come from the records that the program itself uses; only what no record holds is said here, with its date.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from llm_mux.cli.tools.table import TOOLS, Tool, Wanted
from llm_mux.providers import registry
from llm_mux.providers.document import page as provider_page

DOCS = pathlib.Path(__file__).parents[1] / "docs"
MADE = "Made by `python -m scripts.pages` from the records of the program; do not edit."
SHOWN = Wanted("http://127.0.0.1:8317", "llm-mux", "MODEL", ("MODEL",))
KINDS = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}

CHECKED = {
    "claude-code": "2.1.329, in every test run: `tests/clients/test_connected_tools.py`",
    "codex": "0.169.0, in every test run: `tests/clients/test_connected_tools.py`",
    "gemini-cli": "0.61.0, in every test run: `tests/clients/test_connected_tools.py`",
    "opencode": "1.18.33, in every test run: `tests/clients/test_connected_tools.py`",
    "qwen-code": "0.24.4, in every test run: `tests/clients/test_connected_tools.py`",
    "continue": "its terminal program `cn` 1.5.47, in every test run: `tests/clients/test_connected_tools.py`",
    "cline": "its terminal program 3.0.65, in every test run: `tests/clients/test_connected_tools.py`",
    "aider": "0.86.2 by hand on 2026-11-29 (`connect` and `run`, with `aider --message`); too large for every test run",
    "open-webui": "0.12.4 by hand on 2026-11-29 (these settings, and `run`: models, answers, a stream); too large for "
    "every test run",
    "zed": "not driven; written from its documentation on 2026-11-29",
    "cursor": "not driven; written from its documentation on 2026-11-29",
}
NOTES = {
    "claude-code": "Without `--model` it asks for Claude's own models; the daemon has to have an account for them, or "
    "an alias. A model that is not Claude's stands for all three sizes, so that titles and subagents find it too; its "
    "context is told too (`CLAUDE_CODE_MAX_CONTEXT_TOKENS`) where the daemon knows it. A "
    "Claude subscription belongs to Claude Code alone: [what the vendor allows](../providers/anthropic.md).",
    "codex": "A provider of its own is written, because Codex's built-in one asks for a login to ChatGPT before it "
    "shows its screen. The key stands in the file.",
    "gemini-cli": "Two files: the address, and that an API key is used. With the address alone Gemini CLI 0.61 says "
    "`Invalid auth method selected`. It reads the first file only in folders that you trust; without a person, "
    "`GEMINI_CLI_TRUST_WORKSPACE=true` says so. No variable says how to sign in, so `run` gives it a home of its own "
    "(`GEMINI_CLI_HOME`) whose `.gemini` leads to yours, except for the settings file, which is a copy with that line.",
    "opencode": "All models that the daemon has at the time are listed; connect again for new ones.",
    "qwen-code": "It takes `HTTPS_PROXY` for this machine's own addresses too, whatever `NO_PROXY` says: start it "
    "without.",
    "aider": "Model names get `openai/` in front, which is how aider knows what to speak.",
    "continue": "The entry is put first in the list of models; the extensions of VS Code and JetBrains read the same "
    "file.",
    "cline": "The file is that of Cline in the terminal.",
    "zed": "The provider is called `mux`; Zed takes its key from its own keychain or from `MUX_API_KEY`.",
    "open-webui": "It takes variables at its first start only; afterwards its database counts "
    "(`ENABLE_PERSISTENT_CONFIG=False` changes that). A container reaches the daemon when that listens on an address "
    "of the machine with client keys: `llm-mux keys create webui`, `disable-auth: false`, `host: 0.0.0.0` and "
    "`allowed-hosts: [host.docker.internal]`.",
    "cursor": "Its built-in models may ignore another address; name a model that only you have. Nobody but Cursor's "
    "servers has to reach the tunnel: require client keys before it is open.",
}


def pages() -> dict[str, str]:
    """Every page, by its path below docs/."""
    made = {f"tools/{tool.name}.md": _tool(tool) for tool in TOOLS}
    made["tools/index.md"] = _tools()
    providers = registry.load(plugins=False)
    made |= {f"providers/{name}.md": f"{provider_page(provider)}\n{MADE}\n" for name, provider in providers.items()}
    return made


def _tools() -> str:
    rows = "\n".join(
        f"| [{tool.title}]({tool.name}.md) | `llm-mux connect {tool.name}` | "
        f"{f'`llm-mux run {tool.name}`' if tool.runs else ''} |"
        for tool in TOOLS
    )
    return (
        "# Tools\n\nOne command points a tool at the daemon, and `--undo` takes it back. Any other program that lets\n"
        "its address be set works too: [http.md](../http.md) has the routes.\n\n"
        f"| tool | for good | for one run |\n|---|---|---|\n{rows}\n\n{MADE}\n"
    )


def _tool(tool: Tool) -> str:
    parts = [f"# {tool.title}", f"```sh\nllm-mux connect {tool.name}\n```"]
    if tool.settings:
        parts.append("It shows the change, asks, and writes it. Into new files it writes:")
    for settings in tool.settings:
        moved = f" (`${settings.home_env}` moves its folder)" if settings.home_env else ""
        kind = KINDS.get(pathlib.PurePath(settings.file).suffix, "")
        parts.append(f"`~/{settings.file}`{moved}\n\n```{kind}\n{settings.change(SHOWN)('').rstrip()}\n```")
    if tool.words is not None:
        parts.append(f"{'It also says' if tool.settings else 'It says'}:\n\n```\n{tool.words(SHOWN)}\n```")
    parts += [NOTES[tool.name], *_once(tool), f"Checked with {CHECKED[tool.name]}.", MADE]
    return "\n\n".join(parts) + "\n"


def _once(tool: Tool) -> Iterator[str]:
    if not tool.runs:
        return
    assert tool.env is not None
    lines = [f"export {name}='{' '.join(value.split())}'" for name, value in tool.env(SHOWN).items()]
    words = tool.arguments(SHOWN) if tool.arguments is not None else ()
    if words:
        lines.append(" ".join([str(tool.command), *(_shell(word) for word in words), "..."]))
    shown = "\n".join(lines)
    yield f"For one run, `llm-mux run {tool.name} -- ...`; the same by hand:\n\n```sh\n{shown}\n```"


def _shell(word: str) -> str:
    return f"'{word}'" if '"' in word else word


def main() -> None:
    for path, text in pages().items():
        file = DOCS / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
