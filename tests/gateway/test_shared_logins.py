"""One login in several processes: one of them renews, all go on, and no token is lost whoever is killed when."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import sys
import time
from typing import Any

import pytest

from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, keep_login
from llm_mux.auth.sealed import SealedFile
from tests.daemon import ROOT
from tests.upstreams.rotating import PROCESSES, Rotating, rotating

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forked processes")
LIMIT_S = 1200
ROUNDS = int(os.environ.get("LLM_MUX_TEST_ROUNDS", "60"))
"""Of three processes each; the whole thousand takes minutes."""


def begin(home: pathlib.Path) -> None:
    """A home whose login was made just now."""
    now = time.time()
    first = Credential(access="at-0", refresh="rt-0", expires=now, obtained=now, way="browser")
    keep_login(SealedFile(home), StoredLogin("openai", "me", first))


async def rounds(home: pathlib.Path, server: Rotating, count: int, *, seed: int, kills: bool) -> list[dict[str, Any]]:
    """What each round came to."""
    words = [str(home), f"{server.url}/token", str(count), str(seed), "kills" if kills else "calm"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.upstreams.rotating", *words),
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.covers("OP-8")
async def test_of_several_processes_exactly_one_asks_and_all_go_on(tmp_path: pathlib.Path) -> None:
    begin(tmp_path)
    async with rotating() as server:
        played = await rounds(tmp_path, server, 20, seed=1, kills=False)
        assert [each["told"] for each in played] == [[f"at-{number}"] * PROCESSES for number in range(1, 21)]
        assert server.sent == list(range(20))
        assert server.reused == 0


@pytest.mark.covers("OP-8")
async def test_no_token_is_lost_over_random_interleavings_and_kills(tmp_path: pathlib.Path) -> None:
    begin(tmp_path)
    async with rotating() as server:
        played = await rounds(tmp_path, server, ROUNDS, seed=2, kills=True)
        assert sum(each["killed"] for each in played) > ROUNDS
        failed = [said for each in played for said in each["told"] if not said.startswith("at-")]
        assert failed == []
        assert server.reused == 0
        # The survivors of a round all have the newest token, which is the one in the store.
        assert all(set(each["told"]) <= {each["kept"]} for each in played)
