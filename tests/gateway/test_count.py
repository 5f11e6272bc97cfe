"""Token counts where no provider gives them: an estimate over everything that is sent."""

import pathlib

import aiohttp
import msgspec
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.estimate import prompt as estimate
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply

TEXT = ir.Text("x" * 400)
BASE = ir.Request("m", (ir.Message("user", (TEXT,)),))


def with_part(part: ir.Part) -> ir.Request:
    return msgspec.structs.replace(BASE, messages=(ir.Message("user", (TEXT, part)),))


LARGER = [
    pytest.param(with_part(ir.Text("y" * 400)), 100, id="text"),
    pytest.param(with_part(ir.Reasoning("y" * 400)), 100, id="reasoning"),
    pytest.param(with_part(ir.ToolCall("c", "look", "y" * 396)), 100, id="a call"),
    pytest.param(with_part(ir.ToolResult("c", (ir.Text("y" * 400),))), 100, id="a result"),
    pytest.param(with_part(ir.Image(ir.Inline("image/png", "y" * 4000))), 1000, id="an image, whatever its bytes"),
    pytest.param(with_part(ir.ToolResult("c", (ir.Image(ir.Url("https://example.com/a.png")),))), 1000, id="its image"),
    pytest.param(
        msgspec.structs.replace(BASE, messages=(ir.Message("system", (ir.Text("y" * 400),)), *BASE.messages)),
        104,
        id="system",
    ),
    pytest.param(
        msgspec.structs.replace(BASE, tools=(ir.Tool("look", "d" * 196, Raw(b'"' + b"s" * 198 + b'"')),)),
        100,
        id="tools",
    ),
    pytest.param(
        msgspec.structs.replace(BASE, tools=(ir.HostedTool("x", ir.Native("a", Raw(b'"' + b"s" * 398 + b'"'))),)),
        100,
        id="a hosted tool",
    ),
]


@pytest.mark.covers("FB-140")
@pytest.mark.parametrize(("request_", "more"), LARGER)
def test_everything_that_is_sent_counts(request_: ir.Request, more: int) -> None:
    assert estimate(BASE) == 104
    assert estimate(request_) - estimate(BASE) == more


def test_nothing_still_counts_as_one() -> None:
    assert estimate(ir.Request("m", ())) == 1


@pytest.mark.parametrize(
    ("reply", "how", "tokens"),
    [
        pytest.param(json_reply({"input_tokens": 7}), "native", 7, id="the provider's own"),
        pytest.param(json_reply({"error": {"message": "no"}}, 500), "estimate", 5, id="it fails"),
        pytest.param(Reply(b"<html>", content_type="text/html"), "estimate", 5, id="nonsense"),
    ],
)
async def test_a_provider_that_counts_is_asked_and_a_failure_costs_only_exactness(
    tmp_path: pathlib.Path, reply: Reply, how: str, tokens: int
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/messages/count_tokens", reply)
        entry = {"type": "anthropic", "base-url": upstream.url, "api-key": "k", "models": ["m"]}
        async with daemon(tmp_path, {"providers": [entry]}) as mux, aiohttp.ClientSession() as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            async with client.post(f"{mux.url}/v1/messages/count_tokens", json=body) as answer:
                assert answer.status == 200, await answer.text()
                assert answer.headers["x-llm-mux-count"] == how
                assert await answer.json() == {"input_tokens": tokens}
        assert upstream.last.json()["model"] == "m"
