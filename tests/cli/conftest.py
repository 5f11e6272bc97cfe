"""What the tests of the command line share: a home of their own, and a way to run a command."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from llm_mux import cli
from tests.cli.running import Done, Run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LLM_MUX_CONFIG", "LLM_MUX_DEBUG", "LLM_MUX_PASSPHRASE", "PROXY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLM_MUX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LLM_MUX_KEYRING", "file")
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = cli.run(arguments)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call
