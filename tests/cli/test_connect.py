"""`llm-mux connect` and `run`: shown before it is written, put back as it was, and never over somebody else's change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_mux.cli.connect import _NAMES
from llm_mux.cli.run_tool import _NAMES as RUN_NAMES
from llm_mux.cli.tools.table import BY_NAME, TOOLS, Tool
from tests.cli.running import Run
from tests.daemon import process_daemon


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home folder with nothing in it."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_the_command_knows_every_tool() -> None:
    assert sorted(_NAMES) == sorted(BY_NAME)
    assert set(RUN_NAMES) == {tool.name for tool in TOOLS if tool.runs}


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.settings], ids=lambda tool: tool.name)
def test_a_tool_is_connected_and_put_back(run: Run, user: Path, tool: Tool) -> None:
    files = [user / settings.file for settings in tool.settings]
    done = run("connect", tool.name, "--yes", "--model", "demo")
    assert done.code == 0, done.err
    assert "does not answer" in done.err
    assert any("http://127.0.0.1:8317" in file.read_text() for file in files)
    assert "http://127.0.0.1:8317" in done.out
    assert "already" in run("connect", tool.name, "--yes", "--model", "demo").out
    assert run("connect", tool.name, "--undo").code == 0
    assert not any(file.exists() for file in files)
    assert run("connect", tool.name, "--undo").code == 1


def test_what_was_there_comes_back_to_the_byte_also_after_two_changes(run: Run, user: Path) -> None:
    file = user / ".claude" / "settings.json"
    file.parent.mkdir()
    before = '{\n\t"theme": "dark"\n}'
    file.write_text(before)
    file.chmod(0o640)
    run("connect", "claude-code", "--yes")
    run("connect", "claude-code", "--yes", "--url", "http://127.0.0.1:9999")
    assert json.loads(file.read_text())["env"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9999"
    assert file.stat().st_mode & 0o777 == 0o640
    assert run("connect", "claude-code", "--undo").code == 0
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_what_was_changed_since_stays_when_it_is_put_back(run: Run, user: Path) -> None:
    run("connect", "aider", "--yes")
    file = user / ".aider.conf.yml"
    file.write_text("dark-mode: true\n" + file.read_text())
    done = run("connect", "aider", "--undo")
    assert done.code == 0, done.err
    assert "keeps what was changed since" in done.out
    assert file.read_text() == "dark-mode: true\n"


def test_a_change_at_the_same_place_is_left_alone(run: Run, user: Path) -> None:
    file = user / ".aider.conf.yml"
    file.write_text("openai-api-key: old\n")
    run("connect", "aider", "--yes")
    file.write_text(file.read_text().replace("llm-mux", "mine"))
    done = run("connect", "aider", "--undo")
    assert done.code == 1
    assert "changed since at the same place" in done.err
    assert "mine" in file.read_text()


def test_print_writes_nothing(run: Run, user: Path) -> None:
    done = run("connect", "codex", "--print")
    assert '+base_url = "http://127.0.0.1:8317/v1"' in done.out
    assert list(user.iterdir()) == []


def test_no_is_no(run: Run, user: Path) -> None:
    assert run("connect", "codex", stdin="n\n").code == 1
    assert list(user.iterdir()) == []


def test_settings_with_comments_keep_them_and_damaged_ones_are_refused_with_another_way(run: Run, user: Path) -> None:
    file = user / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text('// mine\n{"theme": "dark"}\n')
    assert run("connect", "claude-code", "--yes").code == 0
    assert file.read_text().startswith('// mine\n{"theme": "dark"')
    file.write_text('{"theme"\n')
    done = run("connect", "claude-code", "--yes")
    assert done.code == 1
    assert "cannot be read as JSON" in done.err
    assert "llm-mux run claude-code" in done.err
    assert file.read_text() == '{"theme"\n'


def test_a_link_stays_a_link(run: Run, user: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.yml"
    real.write_text("dark-mode: true\n")
    (user / ".aider.conf.yml").symlink_to(real)
    run("connect", "aider", "--yes")
    assert (user / ".aider.conf.yml").is_symlink()
    assert "openai-api-base" in real.read_text()


def test_tools_that_move_their_folder_are_found(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "elsewhere"))
    run("connect", "codex", "--yes")
    assert (tmp_path / "elsewhere" / "config.toml").exists()


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS if not tool.settings])
def test_tools_without_a_file_are_explained(run: Run, user: Path, name: str) -> None:
    done = run("connect", name)
    assert done.code == 0
    assert "/v1" in done.out
    assert list(user.iterdir()) == []


def test_a_client_key_of_the_configuration_is_used(run: Run, user: Path, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("api-keys: [team-key]\nport: 9000\n")
    run("connect", "gemini-cli", "--yes")
    assert (user / ".gemini" / ".env").read_text() == (
        "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:9000\nGEMINI_API_KEY=team-key\n"
    )


def test_run_starts_the_tool_with_the_environment_and_its_own_arguments(user: Path, tmp_path: Path) -> None:
    env = fake(tmp_path / "bin", "claude", 'import os, sys\nprint(os.environ["ANTHROPIC_BASE_URL"], *sys.argv[1:])')
    command = [sys.executable, "-m", "llm_mux", "run", "claude-code", "--", "-p", "hi", "--model", "x"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    told = '{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8317", "ANTHROPIC_AUTH_TOKEN": "llm-mux"}}'
    assert done.stdout == f"http://127.0.0.1:8317 --settings {told} -p hi --model x\n", done.stderr
    assert list(user.iterdir()) == []


def fake(folder: Path, name: str, code: str) -> dict[str, str]:
    """A tool of this name that runs `code`; the environment that finds it."""
    folder.mkdir()
    (folder / name).write_text(f"#!{sys.executable}\n{code}\n")
    (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_run_lends_a_tool_a_home_where_only_its_settings_differ(user: Path, tmp_path: Path) -> None:
    own = user / ".gemini"
    own.mkdir()
    before = '{"ui": {"theme": "dark"}, "security": {"auth": {"selectedType": "oauth-personal"}}}'
    (own / "settings.json").write_text(before)
    (own / ".env").write_text("GEMINI_API_KEY=other\n")
    (own / "GEMINI.md").write_text("mine")
    code = (
        "import os, pathlib\nfolder = pathlib.Path(os.environ['GEMINI_CLI_HOME']) / '.gemini'\n"
        "print(sorted(each.name for each in folder.iterdir()), (folder / 'settings.json').read_text())\n"
        "print((folder / 'GEMINI.md').read_text(), os.environ.get('GOOGLE_API_KEY'))"
    )
    env = fake(tmp_path / "bin", "gemini", code) | {"GOOGLE_API_KEY": "another"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "llm_mux", "run", "gemini-cli"], env=env, capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("['GEMINI.md', 'settings.json'] "), done.stderr
        assert '"theme": "dark"' in done.stdout
        assert '"selectedType": "gemini-api-key"' in done.stdout
        assert done.stdout.endswith("mine None\n")
    assert (own / "settings.json").read_text() == before
    (own / "settings.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "llm_mux", "run", "gemini-cli"], env=env, capture_output=True, text=True, check=False
    )
    assert "Mend it, or move it away" in done.stderr


@pytest.mark.parametrize(
    ("tool", "name", "told"),
    [
        ("claude-code", "CLAUDE_CODE_USE_BEDROCK", True),
        ("claude-code", "ANTHROPIC_API_KEY", True),
        ("claude-code", "ANTHROPIC_BASE_URL", False),
        ("gemini-cli", "GOOGLE_API_KEY", True),
        ("gemini-cli", "GOOGLE_GEMINI_BASE_URL", True),
        ("qwen-code", "OPENAI_BASE_URL", True),
        ("aider", "AIDER_OPENAI_API_BASE", True),
        ("codex", "OPENAI_API_KEY", False),
    ],
)
def test_a_variable_that_comes_before_the_settings_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tool: str, name: str, told: bool
) -> None:
    monkeypatch.setenv(name, "https://elsewhere.example")
    done = run("connect", tool, "--yes", "--model", "demo")
    assert done.code == 0
    assert (f"unset {name}" in done.err) is told


def test_run_says_when_the_tool_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run("run", "aider")
    assert done.code == 1
    assert "install aider first" in done.err


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with process_daemon(
        tmp_path_factory.mktemp("daemon"), {"api-keys": ["team"], "disable-auth": False}, "--demo"
    ) as it:
        yield it.url


def test_a_tool_whose_own_models_are_not_there_is_told_one(run: Run, user: Path, demo: str) -> None:
    done = run("connect", "claude-code", "--url", demo, "--key", "team", stdin="nothing\ndemo\ny\n")
    assert done.code == 0, done.err
    assert "Which model should Claude Code use?" in done.out
    assert "There is no nothing here." in done.out
    told = json.loads((user / ".claude" / "settings.json").read_text())["env"]
    assert told["ANTHROPIC_MODEL"] == told["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "demo"


def test_tools_are_told_how_much_context_a_model_takes(run: Run, user: Path, tmp_path: Path) -> None:
    names = ("gemini-2.5-flash", "claude-haiku-4-5", "nobody-knows-1")
    entry = {"type": "gemini", "api-key": "x", "models": [{"name": name} for name in names]}
    with process_daemon(tmp_path / "daemon", {"providers": [entry]}) as daemon:
        for tool in ("claude-code", "codex", "opencode", "zed"):
            done = run("connect", tool, "--yes", "--url", daemon.url, "--model", "gemini-2.5-flash")
            assert done.code == 0, done.err
    claude = json.loads((user / ".claude" / "settings.json").read_text())["env"]
    assert claude["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "1048576"
    assert "model_context_window = 1048576" in (user / ".codex" / "config.toml").read_text()
    models = json.loads((user / ".config" / "opencode" / "opencode.json").read_text())["provider"]["llm-mux"]["models"]
    assert models["gemini-2.5-flash"] == {"limit": {"context": 1048576, "output": 32000}}
    assert models["nobody-knows-1"] == {}
    zed = json.loads((user / ".config" / "zed" / "settings.json").read_text())
    listed = zed["language_models"]["openai_compatible"]["mux"]["available_models"]
    assert {each["name"]: each["max_tokens"] for each in listed}["gemini-2.5-flash"] == 1048576


def test_a_daemon_that_wants_another_key_is_not_connected_to(run: Run, user: Path, demo: str) -> None:
    done = run("connect", "claude-code", "--url", demo, "--yes")
    assert done.code == 1
    assert "llm-mux keys create" in done.err
    assert list(user.iterdir()) == []


def test_a_tool_that_needs_a_model_gets_none_made_up(run: Run, user: Path) -> None:
    done = run("connect", "opencode", "--yes")
    assert done.code == 1
    assert "--model" in done.err
    assert list(user.iterdir()) == []
