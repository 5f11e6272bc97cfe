import random
from typing import Any

import msgspec

from llm_mux import log
from llm_mux.errors import Kind
from llm_mux.gateway.outcome import Tried
from llm_mux.server.ended import Ended, Line, encoded, line, said
from tests.rows import row_of

WORDS = ('a"b', "back\\slash", "Ünï", "\ud800", "a\nb", "{model}", '","ttft_ms":1', "%s", "", "plain")


def made_up(chance: random.Random) -> Ended:
    """An exchange of any kind, with names that nobody would choose."""

    def some(*values: Any) -> Any:
        return chance.choice((*WORDS, *values))

    row = row_of(
        time=chance.choice((0.0, 1_790_000_000.999, 1_790_000_000.25)),
        request_id=some(*["req_0123abc"] * 30),
        client_key=some(None),
        protocol="openai_chat",
        model_asked=some(),
        model_served=some(None),
        provider=some(None),
        account=some(None),
        attempts=chance.choice((0, 1, 3)),
        status=chance.choice((200, 502)),
        error_kind=chance.choice((None, "client_gone")),
        stop_reason=some(None),
        input_tokens=chance.choice((0, 5, 2**53)),
        output_tokens=chance.choice((0, 7)),
        ttft_ms=chance.choice((None, 0.0, 0.125, 812.3456789, 1e7)),
        duration_ms=chance.choice((0.0, 2.675, 123456.789, 1e-9)),
        cost=chance.choice((None, 0, 1, 10**6, 123_456_789_012, 10**15)),
        path=chance.choice((None, "splice", "translate")),
    )
    tried = (Tried("lab/main", "m", Kind.QUOTA, 0.125),)
    return Ended(row, False, chance.choice(((), (), ("seed",))), chance.choice(((), (), tried)))


def test_a_line_says_what_the_encoder_would_have_written() -> None:
    chance = random.Random(1)
    ended = [made_up(chance) for _ in range(3000)]
    lines = encoded(ended).splitlines()
    assert len(lines) == len(ended)
    for found, each in zip(lines, ended, strict=True):
        wanted = log.encoded([line(each)])
        assert list(msgspec.json.decode(found).items()) == list(msgspec.json.decode(wanted).items())
        assert msgspec.json.decode(found, type=Line) == msgspec.json.decode(wanted, type=Line)


def test_most_lines_are_written_around_what_their_names_say() -> None:
    row = row_of(time=0.5, request_id="req_1", protocol="p", model_asked="m", status=200, duration_ms=1.0, ttft_ms=0.8)
    assert b'"ttft_ms":0.80,"duration_ms":1.00,' in encoded([Ended(row)])


def test_every_text_that_others_chose_is_looked_at_for_secrets() -> None:
    chance = random.Random(2)
    ended = [made_up(chance) for _ in range(300)]
    ours = {"timestamp", "level", "event", "protocol", "path", "error", "failed", "dropped"}
    looked_at = set(said(ended))
    for each in ended:
        told = msgspec.structs.asdict(line(each))
        assert {value for name, value in told.items() if isinstance(value, str) and name not in ours} <= looked_at
        assert {*each.dropped, *(tried.account for tried in each.tried)} <= looked_at
