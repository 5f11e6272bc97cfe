"""The command line as a whole: exit codes, one-line errors, quick start, a page that names everything."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from llm_mux import __version__
from llm_mux.cli.root import _GROUPS, _MODULES, COMMANDS, root
from tests.cli.running import Run

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str = "llm-mux") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(commands(root)), ids=lambda value: str(value)[:40])
def test_every_command_and_option_is_explained(path: str, command: click.Command) -> None:
    assert command.help
    assert f"`{path}" in PAGE
    start = PAGE.index(f"`{path}")
    end = PAGE.find("\n### ", start)
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help
            assert all(name in PAGE[start:end] for name in option.opts)


def test_every_global_option_is_explained() -> None:
    for option in root.params:
        assert all(f"`{name}" in PAGE for name in option.opts)


def test_every_command_is_in_the_file_of_its_name() -> None:
    files = {path.stem for path in (Path(__file__).parents[2] / "llm_mux" / "cli").glob("*.py")}
    assert {_MODULES.get(name, name) for name in COMMANDS} <= files


def test_the_version_is_printed(run: Run) -> None:
    for arguments in (["--version"], ["version"]):
        assert run(*arguments).out.startswith(f"llm-mux {__version__}")


def test_the_version_loads_nothing_but_click() -> None:
    code = "import sys; from llm_mux import cli; cli.run(['--version']); print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {
        "aiohttp",
        "rich",
        "yaml",
        "msgspec",
        "structlog",
        "keyring",
        "asyncio",
        "sqlalchemy",
        "http.client",
        "psutil",
    }
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["srve"], 'there is no command "srve"; did you mean "serve"? (see llm-mux --help)'),
        (["xyzzy"], 'there is no command "xyzzy" (see llm-mux --help)'),
        (["serve", "--prt", "1"], "--prt"),
        (["serve", "--port", "x"], "--port"),
        (["--force"], "--force belongs to --init"),
        (["--init", "status"], "--init stands alone"),
        (["login"], "PROVIDER"),
        (["config", "shw"], "shw"),
    ],
)
def test_bad_usage_is_one_line_with_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("llm-mux: ")


def test_help_names_every_command(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    assert all(re.search(rf"^  {name} ", done.out, re.MULTILINE) for name in COMMANDS)


def test_help_is_in_the_order_of_use_and_fits_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert sorted(name for _, names in _GROUPS for name in names) == sorted(COMMANDS)
    for path, command in [("llm-mux", root), *commands(root)]:
        said = run(*path.split()[1:], "--help").out
        assert max(map(len, said.splitlines())) <= 80, path
        assert "..." not in said.partition("Commands:")[2], path
        assert command is not root or "..." not in said.partition("To begin:")[2]
        assert run("help", *path.split()[1:]).out == said, path


def test_help_for_what_is_not_there_is_bad_usage(run: Run) -> None:
    for words in (["srve"], ["serve", "now"]):
        done = run("help", *words)
        assert done.code == 2
        assert done.err.count("\n") == 1


def test_a_refused_configuration_is_exit_code_2_with_all_problems(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("prot: 1\nport: x\n")
    for arguments in ([], ["serve"], ["config", "validate"]):
        done = run(*arguments)
        assert done.code == 2
        assert done.err.splitlines() == [
            f'llm-mux: {home}/config.yaml:1:1: unknown key "prot"; did you mean "port"?',
            f'llm-mux: {home}/config.yaml:2:7: "port" must be an integer from 0 to 65535; found text',
        ]


def test_a_named_file_must_exist(run: Run, tmp_path: Path) -> None:
    done = run("--config", str(tmp_path / "none.yaml"), "serve")
    assert done.code == 2
    assert "there is no such file; llm-mux --init makes one" in done.err


def test_a_damaged_secret_store_is_one_line(run: Run, home: Path) -> None:
    (home / "data").mkdir(parents=True)
    (home / "data" / "secrets.json.enc").write_bytes(b"damaged")
    done = run("logout", "openai")
    assert done.code == 1
    assert "cannot be decrypted" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell pipe")
def test_a_reader_that_leaves_early_causes_no_noise() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m llm_mux --help | true"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
