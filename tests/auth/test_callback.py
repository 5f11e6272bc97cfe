"""Which request at the loopback listener counts, and what may be pasted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from llm_mux.auth.callback import pasted, visit

STATE = "s" * 32
GOOD = f"/callback?code=c0de&state={STATE}"


def head(target: str, method: str = "GET", version: str = "HTTP/1.1", **headers: str) -> bytes:
    lines = {"host": "localhost:8085", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return "\r\n".join([f"{method} {target} {version}", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode()


@dataclass(frozen=True)
class Case:
    id: str
    head: bytes
    status: int
    counts: bool = False
    done: bool = field(default=False)


CASES = [
    Case("the return", head(GOOD), 200, counts=True),
    Case("the return of a browser", head(GOOD, sec_fetch_mode="navigate", sec_fetch_dest="document"), 200, counts=True),
    Case("by IPv6", head(GOOD, host="[::1]:8085"), 200, counts=True),
    Case("a refusal", head(f"/callback?error=access_denied&state={STATE}"), 200, counts=True),
    Case("a second return", head(GOOD), 409, done=True),
    Case("wrong state", head("/callback?code=c0de&state=other"), 403),
    Case("no state", head("/callback?code=c0de"), 403),
    Case("a refusal without state", head("/callback?error=access_denied"), 403),
    Case("no code", head(f"/callback?state={STATE}"), 400),
    Case("another path", head(f"/favicon.ico?code=c&state={STATE}"), 404),
    Case("a POST", head(GOOD, "POST"), 405),
    Case("another page's script", head(GOOD, origin="https://evil.example"), 403),
    Case("an image of another page", head(GOOD, sec_fetch_mode="no-cors", sec_fetch_dest="image"), 403),
    Case("a frame of another page", head(GOOD, sec_fetch_mode="navigate", sec_fetch_dest="iframe"), 403),
    Case("another name for this machine", head(GOOD, host="rebound.example:8085"), 403),
    Case("no host", b"GET / HTTP/1.1\r\n\r\n", 403),
    Case("too many fields", head(GOOD + "&x=1" * 40), 400),
    Case("no HTTP", b"\x16\x03\x01\x02\x00", 400),
    Case("an empty head", b"", 400),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_only_the_right_visit_counts(case: Case) -> None:
    found = visit(case.head, "/callback", STATE, done=case.done)
    assert found.status == case.status
    assert (found.query is not None) is case.counts
    answer = found.response()
    assert answer.startswith(f"HTTP/1.1 {case.status} ".encode())
    assert STATE.encode() not in answer and b"c0de" not in answer


@pytest.mark.parametrize(
    "text",
    [
        f"http://localhost:8085{GOOD}",
        f"  'http://127.0.0.1:1455{GOOD}#x' ",
        f"localhost:8085{GOOD}",
        f"?code=c0de&state={STATE}",
        f"code=c0de&state={STATE}",
        f"c0de#{STATE}",
        "c0de",
    ],
)
def test_everything_that_holds_the_code_may_be_pasted(text: str) -> None:
    assert pasted(text, STATE)["code"] == "c0de"


def test_a_pasted_refusal_is_understood() -> None:
    assert pasted(f"http://localhost/?error=access_denied&state={STATE}", STATE)["error"] == "access_denied"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing was pasted"),
        ("I did sign in", "neither an address nor a code"),
        ("x" * 20000, "neither an address nor a code"),
        ("code\x1b[0m", "neither an address nor a code"),
        ("http://localhost:8085/callback?code=c&state=other", "another login"),
        ("c0de#other", "another login"),
        ("https://id.example/login", "no code in that address"),
        (f"http://localhost/?state={STATE}", "no code in that address"),
    ],
)
def test_what_holds_no_code_of_this_login_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pasted(text, STATE)
