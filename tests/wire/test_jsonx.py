"""JSON as real peers send it: repair, splice, depth, arguments, surrogates."""

import json
import math
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.wire import jsonx

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=4), json_values, max_size=5)


class Body(Struct):
    model: str = ""
    mode: Literal["a", "b"] = "a"
    rest: Raw | UnsetType = UNSET
    n: int = 0


class Closed(Struct, forbid_unknown_fields=True):
    n: int = 0


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(rb'{"model":"a\ud83d"}', "a\ufffd", marks=pytest.mark.covers("PF-22"), id="high half"),
        pytest.param(rb'{"model":"\ude00b"}', "\ufffdb", marks=pytest.mark.covers("PF-22"), id="low half"),
        pytest.param(rb'{"x":["\ud83d"],"model":"m"}', "m", marks=pytest.mark.covers("PF-22"), id="in a skipped field"),
        pytest.param(rb'{"model":"\ud83d\ud83d\ude00\\ud83d"}', "\ufffd\U0001f600\\ud83d", id="only real halves"),
        pytest.param(b'{"model":"\xed\xa0\xbd!"}', "\ufffd\ufffd\ufffd!", id="no UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"model":"m"}', "m", id="byte order mark"),
        pytest.param(
            b'{"a":NaN,"b":[-Infinity,Infinity],"model":"NaN \\"Infinity"}',
            'NaN "Infinity',
            marks=pytest.mark.covers("PF-21"),
            id="no numbers",
        ),
    ],
)
def test_what_real_peers_get_wrong_is_repaired_once(body: bytes, model: str) -> None:
    assert jsonx.decode(body, Body).model == model
    assert jsonx.peek(body, Body).model == model


def test_repair_touches_nothing_else() -> None:
    body = rb'{ "b":1e5 ,"a":12345678901234567890123,"c":"\u00e9\/\ud83d\ude00","a":"\ud83d" }'
    assert jsonx.repair(body) == body.replace(rb'"\ud83d" }', rb'"\ufffd" }')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model":1}', "`$.model`"),
        (b'{"mode":"secret - at `$.x`"}', "Invalid enum value - at `$.mode`"),
        (b'{"model":"secret', "truncated"),
        (b'{"model":secret}', "byte 9"),
        (b"[1]", "Expected `object`"),
        (b"", "truncated"),
        (b'{"rest":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (rb'{"x":"\ud83d","n":"secret"}', "`$.n`"),
    ],
)
def test_errors_say_where_and_never_what(body: bytes, words: str) -> None:
    with pytest.raises(jsonx.Malformed) as caught:
        jsonx.decode(body, Body)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_unknown_field_is_not_quoted() -> None:
    with pytest.raises(jsonx.Malformed, match=r"^Object contains an unknown field$"):
        jsonx.decode(b'{"secret":1}', Closed)


def test_client_bodies_may_be_read_leniently() -> None:
    assert jsonx.decode(b'{"n":"7"}', Body, strict=False).n == 7
    with pytest.raises(jsonx.Malformed):
        jsonx.decode(b'{"n":"7"}', Body)


@pytest.mark.covers("PF-21", "FB-55")
def test_encoding_keeps_order_big_integers_and_raw_text() -> None:
    assert (
        jsonx.encode({"b": 2**70, "a": "é", "r": Raw(b"1e5")})
        == '{"b":1180591620717411303424,"a":"é","r":1e5}'.encode()
    )
    assert jsonx.encode([math.nan, math.inf]) == b"[null,null]"


@pytest.mark.covers("PF-22")
def test_half_a_pair_does_not_crash_the_encoder() -> None:
    body = {"a": ("x\ud83d", Body(model="\ude00", rest=Raw(b"1e5"))), "\ud83d": "\ud83d\ude00"}
    assert msgspec.json.decode(jsonx.encode(body)) == {
        "a": ["x\ufffd", {"model": "\ufffd", "mode": "a", "rest": 1e5, "n": 0}],
        "\ufffd": "\U0001f600",
    }


@given(json_values)
def test_whatever_is_encoded_is_json(value: object) -> None:
    assert json.loads(jsonx.encode(value)) == json.loads(json.dumps(value))


def test_splice_replaces_in_place_removes_and_appends() -> None:
    body = b'{ "model" : "a", "x":{"n": 1e5,"big":12345678901234567890123}, "stream":true}'
    edits = {"model": b'"b"', "stream": None, "absent": None, "new": b"[1]"}
    assert jsonx.splice(body, edits) == b'{"model":"b","x":{"n": 1e5,"big":12345678901234567890123},"new":[1]}'


def test_splice_leaves_one_of_a_repeated_key() -> None:
    assert jsonx.splice(b'{"model":"a","b":1,"model":"c"}', {"model": b'"x"'}) == b'{"model":"x","b":1}'


def test_splice_repairs_only_what_is_broken() -> None:
    assert (
        jsonx.splice(rb'{"model":"a","t":"\ud83d","n":1.0}', {"model": b'"b"'})
        == rb'{"model":"b","t":"\ufffd","n":1.0}'
    )


@pytest.mark.parametrize("body", [b"[]", b"1", b"", b'{"a":}'])
def test_splice_and_top_refuse_what_is_no_object(body: bytes) -> None:
    with pytest.raises(jsonx.Malformed):
        jsonx.splice(body, {})
    with pytest.raises(jsonx.Malformed):
        jsonx.top(body)


@pytest.mark.covers("FB-138")
@given(objects, st.text(max_size=4), st.booleans())
def test_splice_keeps_every_other_value_to_the_byte(body: dict[str, object], key: str, ascii_: bool) -> None:
    text = json.dumps(body, ensure_ascii=ascii_)
    raw = text.encode("utf-8", "surrogatepass") if ascii_ else jsonx.encode(body)
    before = {name: bytes(value) for name, value in jsonx.top(raw).items()}
    after = {name: bytes(value) for name, value in jsonx.top(jsonx.splice(raw, {key: b'"new"'})).items()}
    assert after == before | {key: b'"new"'}
    assert [name for name in after if name in before] == list(before)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param("", b"{}", marks=pytest.mark.covers("PF-33"), id="nothing"),
        pytest.param("  \n", b"{}", id="blanks"),
        pytest.param("null", b"{}", marks=pytest.mark.covers("PF-33"), id="null"),
        pytest.param('{"a" : 1e5,"a":12345678901234567890}', b'{"a" : 1e5,"a":12345678901234567890}', id="kept"),
        pytest.param("[1, 2]", b'{"_raw":[1, 2]}', marks=pytest.mark.covers("FB-29", "PF-33"), id="array"),
        pytest.param('"x"', b'{"_raw":"x"}', marks=pytest.mark.covers("FB-29", "PF-33"), id="string"),
        pytest.param('{"a": "b', b'{"_raw":"{\\"a\\": \\"b"}', marks=pytest.mark.covers("FB-28"), id="cut"),
        pytest.param('{"a":1}}', b'{"_raw":"{\\"a\\":1}}"}', marks=pytest.mark.covers("FB-28"), id="too much"),
        pytest.param("x\ud83d", '{"_raw":"x\ufffd"}'.encode(), id="half a pair"),
        pytest.param('{"a":"\\ud83d"}', b'{"a":"\\ufffd"}', id="half a pair, escaped"),
        pytest.param('{"a":NaN}', b'{"a":null}', marks=pytest.mark.covers("PF-21"), id="NaN"),
    ],
)
def test_tool_arguments_become_an_object_and_lose_nothing(text: str, arguments: bytes) -> None:
    assert bytes(jsonx.object_arguments(text)) == arguments


@pytest.mark.covers("FB-28")
@given(st.text() | json_values.map(json.dumps))
def test_tool_arguments_are_always_an_object(text: str) -> None:
    assert isinstance(json.loads(bytes(jsonx.object_arguments(text))), dict)


@pytest.mark.covers("FB-55", "PF-21")
def test_compact_removes_spaces_and_nothing_else() -> None:
    raw = b'{ "b" : [1e5, 1.0 , 12345678901234567890123],\n"a":"x  \\u00e9","b":{ } }'
    assert jsonx.compact(raw) == b'{"b":[1e5,1.0,12345678901234567890123],"a":"x  \\u00e9","b":{}}'
    assert jsonx.compact(Raw(rb'{ "a":"\ud83d" }')) == rb'{"a":"\ufffd"}'
    with pytest.raises(jsonx.Malformed):
        jsonx.compact(b"{")


@pytest.mark.covers("PF-22")
@given(st.text(st.sampled_from("a\U0001f600\ud83d\ude00é"), max_size=12), st.data())
def test_surrogates_cut_anywhere_are_joined(text: str, data: st.DataObject) -> None:
    units = [chr(int.from_bytes(pair, "little")) for pair in _units(text)]
    joiner = jsonx.Surrogates()
    shown, at = "", 0
    while at < len(units):
        size = data.draw(st.integers(1, 3))
        piece = joiner.feed("".join(units[at : at + size]))
        piece.encode()
        shown, at = shown + piece, at + size
    assert shown + joiner.flush() == jsonx.whole_text("".join(units))


def _units(text: str) -> list[bytes]:
    encoded = text.encode("utf-16-le", "surrogatepass")
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]


@pytest.mark.covers("PF-22")
def test_an_emoji_cut_between_two_records_is_joined() -> None:
    joiner = jsonx.Surrogates()
    records = (rb'{"model":"hi \ud83d"}', rb'{"model":"\ude00 there"}', rb'{"model":"\ud83d"}')
    shown = [joiner.feed(jsonx.decode(record, Body, halves=True).model) for record in records]
    assert [*shown, joiner.flush()] == ["hi ", "\U0001f600 there", "", "\ufffd"]
