"""`llm-mux config` and `llm-mux init`: files, keys, and nothing lost."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import pytest
import yaml

from llm_mux.config import example, masked
from llm_mux.config.schema import Config
from tests.cli.running import Run


def management_key(text: str) -> str:
    found = re.search(r"^Management key: (\S+)$", text, re.MULTILINE)
    assert found
    return found[1]


def test_init_makes_everything_and_prints_the_same_key_again(run: Run, home: Path) -> None:
    first = run("--init")
    assert first.code == 0
    assert (home / "config.yaml").read_text() == example()
    assert {path.name for path in home.iterdir()} == {"config.yaml", "data", "state", "cache", "log"}
    assert "llm-mux serve" in first.out
    second = run("init")
    assert "(kept)" in second.out
    assert management_key(second.out) == management_key(first.out)


def test_init_leaves_nothing_that_others_can_read(run: Run, home: Path) -> None:
    key = management_key(run("--init").out)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert all(key.encode() not in path.read_bytes() for path in files)
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_force_starts_over_and_keeps_the_old_file(run: Run, home: Path) -> None:
    first = run("--init")
    (home / "config.yaml").write_text("port: 9000\n")
    run("--init")
    assert (home / "config.yaml").read_text() == "port: 9000\n"
    forced = run("--init", "--force")
    assert (home / "config.yaml").read_text() == example()
    assert (home / "config.yaml.bak").read_text() == "port: 9000\n"
    assert management_key(forced.out) != management_key(first.out)


def test_init_writes_where_config_says(run: Run, home: Path, tmp_path: Path) -> None:
    where = tmp_path / "elsewhere" / "mux.yaml"
    assert run("--config", str(where), "--init").code == 0
    assert where.exists()
    assert not (home / "config.yaml").exists()


def test_show_prints_what_is_in_effect(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("port: 9000\napi-keys: [plant]\n")
    monkeypatch.setenv("LLM_MUX_TIMEOUTS_CONNECT", "3")
    shown = yaml.safe_load(run("config", "show").out)
    assert (shown["port"], shown["timeouts"]["connect"], shown["api-keys"]) == (9000, 3, ["***"])
    assert json.loads(run("config", "show", "--json").out) == shown


def test_show_without_a_file_prints_the_defaults(run: Run) -> None:
    assert json.loads(run("config", "show", "--json").out) == json.loads(json.dumps(masked(Config())))


def test_path_follows_option_variable_and_home(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("config", "path").out.strip() == str(home / "config.yaml")
    monkeypatch.setenv("LLM_MUX_CONFIG", str(tmp_path / "a.yaml"))
    assert run("config", "path").out.strip() == str(tmp_path / "a.yaml")
    assert run("--config", str(tmp_path / "b.yaml"), "config", "path").out.strip() == str(tmp_path / "b.yaml")


def test_validate_says_valid_and_warns(run: Run, home: Path) -> None:
    assert "the defaults hold" in run("config", "validate").out
    home.mkdir()
    (home / "config.yaml").write_text("api-keys: [k]\ndisable-auth: true\n")
    done = run("config", "validate")
    assert (done.code, done.out) == (0, f"{home}/config.yaml: valid\n")
    assert "config.yaml:2:15: client keys are configured but not checked" in done.err


def editor(tmp_path: Path, *texts: str) -> str:
    """An editor that saves these texts, one each time it is opened."""
    script = tmp_path / "editor.py"
    count = tmp_path / "count"
    script.write_text(
        f"import sys, pathlib\ncount = pathlib.Path({str(count)!r})\n"
        "number = int(count.read_text()) if count.exists() else 0\n"
        f"count.write_text(str(number + 1))\npathlib.Path(sys.argv[1]).write_text({texts!r}[number])\n"
    )
    return f"{sys.executable} {script}"


def test_edit_saves_only_what_is_valid(run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, "prot: 1\n", "port: 9001\n"))
    monkeypatch.delenv("VISUAL", raising=False)
    done = run("config", "edit", stdin="y\n")
    assert done.code == 0
    assert 'unknown key "prot"' in done.err
    assert (home / "config.yaml").read_text() == "port: 9001\n"


def test_edit_given_up_changes_nothing(run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, "prot: 1\n"))
    monkeypatch.delenv("VISUAL", raising=False)
    done = run("config", "edit", stdin="n\n")
    assert done.code == 1
    assert "is unchanged" in done.err
    assert not (home / "config.yaml").exists()


def test_init_says_how_to_come_onto_the_path(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert f"export PATH={Path(sys.executable).parent}:$PATH" in run("init").out
