"""One string property of an object, un-escaped while it arrives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire.jsonstring import StringField


def read(text: str, size: int = 1) -> str:
    field = StringField()
    shown = "".join(field.feed(text[at : at + size]) for at in range(0, len(text), size))
    return shown + field.finish()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'{"input":"a\nb\t\"q\" \\ \/ \u00e9 \ud83d\ude00"}', 'a\nb\t"q" \\ / é \U0001f600'),
        ('  { "input" :\n "x" } ', "x"),
        (r'{"other":{"input":"no","l":["}\"",{}]},"n":1,"input":"yes","input":"late"}', "yes"),
        (r'{"\u0069nput":"x"}', "x"),
        (r'{"input":"cut \ud83d', "cut \ufffd"),
        (r'{"input":"cut \u12', "cut "),
        (r'{"input":"bad \x \u12G4"}', r"bad \x \u12G4"),
        (r'{"input":{"a":"}\""} , "b":1}', r'{"a":"}\""}'),
        ('{"input":null}', ""),
        ('{"input":12', "12"),
        ("{}", ""),
        ("", ""),
        ("*** Begin {patch}", "*** Begin {patch}"),
    ],
)
def test_the_text_is_the_same_in_any_cut(text: str, shown: str) -> None:
    assert {read(text, size) for size in (1, 2, 3, 5, 1000)} == {shown}


def test_text_comes_out_as_it_arrives() -> None:
    field = StringField()
    assert [field.feed(piece) for piece in ('{"in', 'put":"a', "b\\", "n", "\\ud83", "d\\ud", 'e00c"', "}")] == [
        "",
        "a",
        "b",
        "\n",
        "",
        "",
        "\U0001f600c",
        "",
    ]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cn"])), st.booleans(), st.integers(1, 9))
def test_every_string_survives(text: str, ascii_: bool, size: int) -> None:
    body = json.dumps({"a": {"input": [1]}, "input": text}, ensure_ascii=ascii_)
    assert read(body, size) == text


@given(st.text(st.sampled_from('{}[]",:\\u0dinput n')), st.integers(1, 5))
def test_nonsense_never_raises_and_its_cut_never_matters(text: str, size: int) -> None:
    assert read(text, size) == read(text, 1000)
