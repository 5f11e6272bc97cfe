"""How long to wait, in every way that servers say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import hints

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.covers("PF-19")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"Retry-After-Ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
        ({"RETRY-AFTER": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30),
        ({"retry-after": "Sunday, 06-Nov-94 08:50:07 GMT"}, 30),
        ({"retry-after": "Sun Nov  6 08:50:07 1994"}, 30),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0),
        ({"retry-after": "12s"}, 12),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99 Foo 1994 99:99:99"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert hints.retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.5s. Visit the docs.", 1.5),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("Please try again in 6m0s.", 360),
        ("try again in 350ms", 0.35),
        ("retry after 20 seconds", 20),
        ("Try again in 1 hour and 5 minutes", 3900),
        ("Your quota resets after 3h2m1s", 10921),
        ("wait 2 minutes", 120),
        ("the limit is 30s of audio", None),
        ("try again in 5 models", None),
        ("Please try again later. You sent 20s of audio", None),
        ("", None),
    ],
)
def test_a_sentence_says_how_long(message: str, seconds: float | None) -> None:
    assert hints.retry_in_text(message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12s", 12),
        ("1.5s", 1.5),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("350ms", 0.35),
        ("", None),
        ("12", None),
        ("s", None),
    ],
)
def test_a_duration_is_read(text: str, seconds: float | None) -> None:
    assert hints.go_duration(text) == pytest.approx(seconds)


@pytest.mark.covers("PF-19")
@pytest.mark.parametrize(("delay", "header"), [(0, "0"), (0.1, "1"), (2, "2"), (-1, "0"), (float("inf"), "1000000000")])
def test_the_header_has_whole_seconds(delay: float, header: str) -> None:
    assert hints.to_seconds_header(delay) == header


@given(st.text())
def test_nonsense_never_raises(text: str) -> None:
    hints.retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    hints.retry_in_text(text)
    hints.go_duration(text)
