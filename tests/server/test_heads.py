"""Heads that are read in the lane, and those that are left to aiohttp because they could be read in two ways."""

import pytest

from llm_mux.server.app import model_route
from llm_mux.server.heads import Heads

USUAL = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8317\r\nContent-Length: 12"


def read(head: bytes) -> tuple[str, int] | None:
    found = Heads(model_route).read(head)
    return None if found is None else (found[0].path, found[1])


@pytest.mark.parametrize(
    ("head", "path", "length"),
    [
        pytest.param(USUAL, "/v1/chat/completions", 12, id="plain"),
        pytest.param(USUAL.replace(b"Content-L", b"content-l"), "/v1/chat/completions", 12, id="small letters"),
        pytest.param(USUAL.replace(b"12", b"0"), "/v1/chat/completions", 0, id="no body"),
        pytest.param(USUAL + b"\r\nAccept: */*\r\nConnection: Keep-Alive", "/v1/chat/completions", 12, id="length inside"),
        pytest.param(USUAL.replace(b"chat/completions", b"messages?beta=true"), "/v1/messages", 12, id="query"),
        pytest.param(USUAL + b"\r\nX-Empty:\r\nX-Tab:\tvalue \t", "/v1/chat/completions", 12, id="blanks around values"),
        pytest.param(
            b"POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: x\r\nContent-Length: 1",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            1,
            id="model in the path",
        ),
    ],
)  # fmt: skip
def test_heads_as_clients_write_them_are_read(head: bytes, path: str, length: int) -> None:
    assert read(head) == (path, length)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(USUAL.replace(b"POST", b"GET"), id="another method"),
        pytest.param(USUAL.replace(b"POST", b"post"), id="small method"),
        pytest.param(USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"), id="old version"),
        pytest.param(USUAL.replace(b" HTTP", b"  HTTP"), id="two blanks"),
        pytest.param(USUAL.replace(b"/v1/chat", b"/v1//chat"), id="double slash"),
        pytest.param(USUAL.replace(b"/v1/chat", b"/v1/%63hat"), id="escaped path"),
        pytest.param(USUAL.replace(b"/v1/chat", b"http://x/v1/chat"), id="absolute address"),
        pytest.param(USUAL.replace(b"completions", b"completions?key=a%20b"), id="escaped query"),
        pytest.param(USUAL.replace(b"chat", b"nowhere"), id="no model route"),
        pytest.param(USUAL.replace(b"Host: localhost:8317\r\n", b""), id="no host"),
        pytest.param(USUAL + b"\r\nHost: elsewhere", id="two hosts"),
        pytest.param(USUAL + b"\r\nContent-Length: 12", id="two lengths"),
        pytest.param(USUAL + b"\r\ncontent-length: 13", id="two lengths that differ"),
        pytest.param(USUAL + b"\r\nTransfer-Encoding: chunked", id="length and chunks"),
        pytest.param(USUAL.replace(b"Content-Length: 12", b"Transfer-Encoding: chunked"), id="chunks"),
        pytest.param(USUAL + b"\r\nTransfer-Encoding : chunked", id="blank before the colon"),
        pytest.param(USUAL + b"\r\n Transfer-Encoding: chunked", id="folded line"),
        pytest.param(USUAL + b"\nTransfer-Encoding: chunked", id="bare line feed"),
        pytest.param(USUAL + b"\rTransfer-Encoding: chunked", id="bare carriage return"),
        pytest.param(USUAL + b"\r\nX: a\x00b", id="NUL"),
        pytest.param(USUAL + "\r\nX: ä".encode(), id="not ASCII"),
        pytest.param(USUAL.replace(b"12", b"+12"), id="signed length"),
        pytest.param(USUAL.replace(b"12", b"0x12"), id="hexadecimal length"),
        pytest.param(USUAL.replace(b"12", b"1_2"), id="length with an underscore"),
        pytest.param(USUAL.replace(b"12", b"12, 12"), id="list of lengths"),
        pytest.param(USUAL.replace(b"12", "१२".encode()), id="foreign digits"),
        pytest.param(USUAL.replace(b"12", b"1234567890"), id="huge length"),
        pytest.param(USUAL.replace(b"12", b""), id="no length"),
        pytest.param(USUAL + b"\r\nExpect: 100-continue", id="expectation"),
        pytest.param(USUAL + b"\r\nContent-Encoding: gzip", id="packed"),
        pytest.param(USUAL + b"\r\nUpgrade: websocket", id="upgrade"),
        pytest.param(USUAL + b"\r\nConnection: close", id="last request"),
        pytest.param(USUAL + b"\r\nConnection: keep-alive, x-private", id="fields of the connection"),
        pytest.param(USUAL + b"\r\nno colon", id="no field"),
        pytest.param(USUAL + b"\r\nX: " + b"\r\nX: ".join([b"1"] * 120), id="too many fields"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_everything_else_is_left_to_aiohttp(head: bytes) -> None:
    assert read(head) is None


def test_a_head_that_is_remembered_says_the_same_with_another_length() -> None:
    heads = Heads(model_route)
    first = heads.read(USUAL + b"\r\nX-Session-Id: one")
    again = heads.read((USUAL + b"\r\nX-Session-Id: one").replace(b"12", b"3456"))
    other = heads.read(USUAL + b"\r\nX-Session-Id: two")
    assert first is not None and again is not None and other is not None
    assert again[0] is first[0]
    assert (first[1], again[1]) == (12, 3456)
    assert other[0].headers["x-session-id"] == "two"


def test_a_line_that_would_stand_for_the_length_is_no_field() -> None:
    assert Heads(model_route).read(USUAL.replace(b"\r\nContent-Length: 12", b"\0\r\nContent-Length: 12")) is None
