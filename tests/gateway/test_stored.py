"""Responses of one websocket connection, which its own memory keeps."""

import pytest

from llm_mux.errors import MuxError
from llm_mux.gateway.stored import Kept, Memory


async def test_a_provider_that_gives_one_id_twice_costs_the_conversation_and_not_the_daemon() -> None:
    memory = Memory(None)
    links = [Kept(b"[1]", b"[2]"), Kept(b"[3]", b"[4]")]
    memory.remember("a", links[0], None)
    memory.remember("b", links[1], "a")
    assert await memory.chain("local", "b", 0) == links
    memory.remember("a", links[0], "b")
    with pytest.raises(MuxError, match="comes back to itself"):
        await memory.chain("local", "b", 0)
    memory.remember("c", links[0], "c")
    with pytest.raises(MuxError, match="comes back to itself"):
        await memory.chain("local", "c", 0)
