"""Places of files, and the record of the running daemon."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from llm_mux import paths

RECORD = paths.DaemonRecord(41, "127.0.0.1", 8317, "http://127.0.0.1:8317", 1.5, "0.1.0", "config.yaml")


def test_home_puts_everything_under_one_folder(tmp_path: Path) -> None:
    env = {"LLM_MUX_HOME": str(tmp_path)}
    places = [paths.data_dir(env), paths.state_dir(env), paths.cache_dir(env), paths.log_dir(env)]
    assert {place.parent for place in places} == {tmp_path}
    assert len(set(places)) == 4
    assert paths.config_file(env) == tmp_path / "config.yaml"
    assert paths.daemon_file(env) == tmp_path / "state" / "daemon.json"


def test_a_chosen_file_wins_over_home(tmp_path: Path) -> None:
    env = {"LLM_MUX_HOME": str(tmp_path), "LLM_MUX_CONFIG": str(tmp_path / "other.yaml")}
    assert paths.config_file(env) == tmp_path / "other.yaml"


def test_without_home_the_platforms_folders_are_used() -> None:
    assert paths.config_file({}).name == "config.yaml"
    assert "llm-mux" in str(paths.data_dir({}))


def test_a_private_file_is_replaced_whole_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    paths.write_private(target, b"one")
    paths.write_private(target, b"two")
    assert target.read_bytes() == b"two"
    assert [each.name for each in target.parent.iterdir()] == ["file"]
    if sys.platform != "win32":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


def test_the_daemons_record_is_written_read_and_removed_by_its_owner(tmp_path: Path) -> None:
    env = {"LLM_MUX_HOME": str(tmp_path)}
    assert paths.read_daemon(env) is None
    paths.write_daemon(RECORD, env)
    assert paths.read_daemon(env) == RECORD
    paths.remove_daemon(42, env)
    assert paths.read_daemon(env) == RECORD
    paths.remove_daemon(41, env)
    assert paths.read_daemon(env) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"null"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    env = {"LLM_MUX_HOME": str(tmp_path)}
    paths.write_private(paths.daemon_file(env), content)
    assert paths.read_daemon(env) is None
