"""The elements of a growing JSON array, in any cut."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import jsonarray

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def split(*chunks: bytes) -> list[bytes]:
    splitter = jsonarray.Splitter()
    elements = [element for chunk in chunks for element in splitter.feed(chunk)]
    return elements + splitter.finish()


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        (b'[{"a":1}\n,\r\n{"b":[2,{}]}\n]', [b'{"a":1}', b'{"b":[2,{}]}']),
        (b'[{"error":{"code":429}}]', [b'{"error":{"code":429}}']),
        (b'{"error":{"code":429}}', [b'{"error":{"code":429}}']),
        (b'[{"a":"}]\\"{"},{"b":"\\\\"}]', [b'{"a":"}]\\"{"}', b'{"b":"\\\\"}']),
        (b'\xef\xbb\xbf [ 1, null ,"a,b", [2] ]', [b"1", b"null", b'"a,b"', b"[2]"]),
        (b"[]", []),
        (b"", []),
        (b"<html>, [x]</html>\n", [b"<html>, [x]</html>"]),
        (b'[{"a":1},{"b":', [b'{"a":1}', b'{"b":']),
    ],
)
def test_each_element_comes_out_with_its_exact_bytes(body: bytes, elements: list[bytes]) -> None:
    assert split(body) == elements


def test_an_element_is_there_as_soon_as_its_last_byte() -> None:
    splitter = jsonarray.Splitter()
    assert splitter.feed(b'[{"a":1') == []
    assert splitter.feed(b"}") == [b'{"a":1}']


@given(st.lists(json_values, max_size=5), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 7))
def test_any_cut_gives_the_same_elements(values: list[object], indent: int | None, ascii_: bool, size: int) -> None:
    body = json.dumps(values, indent=indent, ensure_ascii=ascii_).encode()
    elements = split(*(body[at : at + size] for at in range(0, len(body), size)))
    assert elements == split(body)
    assert [json.loads(element) for element in elements] == values


def test_a_huge_element_in_small_pieces_takes_linear_time() -> None:
    def cpu(size: int) -> float:
        body = b'[{"a":"' + b"x\\\\" * (size // 3) + b'"}]'
        splitter = jsonarray.Splitter()
        start = time.process_time()
        assert len([e for at in range(0, len(body), 512) for e in splitter.feed(body[at : at + 512])]) == 1
        return time.process_time() - start

    small, large = min(cpu(400_000) for _ in range(3)), cpu(6_400_000)
    assert large < 100 * max(small, 0.001)


def test_an_element_past_the_limit_is_refused() -> None:
    splitter = jsonarray.Splitter(limit=10)
    with pytest.raises(jsonarray.TooLong):
        splitter.feed(b'[{"a":"xxxxxxxxxxxxx')
