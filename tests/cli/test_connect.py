"""`llm-mux connect` and `run`: shown before it is written, put back as it was, and never over somebody else's change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_mux.cli.connect import _NAMES
from llm_mux.cli.run_tool import _NAMES as RUN_NAMES
from llm_mux.cli.tools.table import BY_NAME, TOOLS
from tests.cli.running import Run


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
    assert set(RUN_NAMES) == {tool.name for tool in TOOLS if tool.env is not None and tool.name != "zed"}


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.file is not None], ids=lambda tool: tool.name)
def test_a_tool_is_connected_and_put_back(run: Run, user: Path, tool: object) -> None:
    name, file = tool.name, user / tool.file  # type: ignore[attr-defined]
    done = run("connect", name, "--yes", "--model", "demo")
    assert done.code == 0, done.err
    assert "http://127.0.0.1:8317" in file.read_text()
    assert "http://127.0.0.1:8317" in done.out
    assert "already" in run("connect", name, "--yes", "--model", "demo").out
    assert run("connect", name, "--undo").code == 0
    assert not file.exists()
    assert run("connect", name, "--undo").code == 1


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


def test_a_file_that_was_changed_since_is_left_alone(run: Run, user: Path) -> None:
    run("connect", "aider", "--yes")
    file = user / ".aider.conf.yml"
    file.write_text(file.read_text() + "dark-mode: true\n")
    done = run("connect", "aider", "--undo")
    assert done.code == 1
    assert "changed since" in done.err
    assert "dark-mode" in file.read_text()


def test_print_writes_nothing(run: Run, user: Path) -> None:
    done = run("connect", "codex", "--print")
    assert '+openai_base_url = "http://127.0.0.1:8317/v1"' in done.out
    assert list(user.iterdir()) == []


def test_no_is_no(run: Run, user: Path) -> None:
    assert run("connect", "codex", stdin="n\n").code == 1
    assert list(user.iterdir()) == []


def test_settings_with_comments_are_refused_with_another_way(run: Run, user: Path) -> None:
    file = user / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text('// mine\n{"theme": "dark"}\n')
    done = run("connect", "claude-code", "--yes")
    assert done.code == 1
    assert "comments" in done.err
    assert "llm-mux run claude-code" in done.err
    assert file.read_text().startswith("// mine")


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


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS if tool.change is None])
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
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "claude"
    fake.write_text(f'#!{sys.executable}\nimport os, sys\nprint(os.environ["ANTHROPIC_BASE_URL"], *sys.argv[1:])\n')
    fake.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "llm_mux", "run", "claude-code", "--", "-p", "hi", "--model", "x"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "http://127.0.0.1:8317 -p hi --model x\n", done.stderr
    assert list(user.iterdir()) == []


def test_run_says_when_the_tool_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run("run", "aider")
    assert done.code == 1
    assert "install aider first" in done.err
