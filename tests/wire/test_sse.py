"""Server-sent events in any cut: what the splitter gives, and that the cut never matters."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import sse
from llm_mux.wire.sse import Frame, Splitter


def split(*chunks: bytes) -> list[Frame]:
    splitter = Splitter()
    frames = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    return frames + splitter.finish()


def seen(*chunks: bytes) -> list[tuple[str | None, bytes]]:
    return [(frame.event, frame.data) for frame in split(*chunks)]


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        pytest.param(b'data: {"a":1}\n\n', [(None, b'{"a":1}')], id="plain"),
        pytest.param(b'event: ping\ndata: {"a":1}\n\n', [("ping", b'{"a":1}')], id="with an event"),
        pytest.param(
            b'data:{"a":1}\n\n', [(None, b'{"a":1}')], id="no space", marks=pytest.mark.covers("PF-5", "FB-108")
        ),
        pytest.param(b"data:  x\n\n", [(None, b" x")], id="one space at most", marks=pytest.mark.covers("PF-5")),
        pytest.param(b'data: {"a":1}\r\n\r\n', [(None, b'{"a":1}')], id="CRLF", marks=pytest.mark.covers("PF-2")),
        pytest.param(b"event: e\rdata: x\r\r", [("e", b"x")], id="CR", marks=pytest.mark.covers("PF-2")),
        pytest.param(b"data: x\n\r\ndata: y\r\n\n", [(None, b"x"), (None, b"y")], id="mixed line ends"),
        pytest.param(
            b'data: {\ndata: "a":1}\n\n', [(None, b'{\n"a":1}')], id="two lines", marks=pytest.mark.covers("PF-4")
        ),
        pytest.param(
            b": hello\n\n: again\ndata: x\n\n\n\n\ndata: y\n\n",
            [(None, b"x"), (None, b"y")],
            id="comments and empty records",
            marks=pytest.mark.covers("PF-6"),
        ),
        pytest.param(b"event: ping\n\nevent: x\ndata:\n\ndata: y\n\n", [(None, b"y")], id="records without data"),
        pytest.param(
            b"\xef\xbb\xbfdata: x\n\n", [(None, b"x")], id="byte order mark", marks=pytest.mark.covers("PF-7")
        ),
        pytest.param(
            b"data: x\n\ndata: last", [(None, b"x"), (None, b"last")], id="no end", marks=pytest.mark.covers("PF-8")
        ),
        pytest.param(b"id: 7\nretry: 3\ndata: x\nfoo\n\n", [(None, b"x")], id="other fields"),
        pytest.param(b"data: [DONE]\n\n", [(None, b"[DONE]")], id="end mark"),
        pytest.param(
            'data: {"a":"x\u2028y\u2029\x85\x0b\x0c"}\n\n'.encode(),
            [(None, '{"a":"x\u2028y\u2029\x85\x0b\x0c"}'.encode())],
            id="unicode line separators are text",
            marks=pytest.mark.covers("PF-3"),
        ),
    ],
)
def test_records_are_read_as_their_peers_write_them(stream: bytes, frames: list[tuple[str | None, bytes]]) -> None:
    assert seen(stream) == frames


@pytest.mark.covers("FB-108")
@pytest.mark.parametrize(
    "stream",
    [
        b'event: a\ndata: {"x":1}\nevent: b\ndata: {"y":2}\n\n',
        b'event: a\ndata: {"x":1}event: b\ndata: {"y":2}\n\n',
    ],
)
def test_an_event_line_glued_to_the_record_before_begins_a_new_one(stream: bytes) -> None:
    assert seen(stream) == [("a", b'{"x":1}'), ("b", b'{"y":2}')]


def test_text_that_looks_like_a_glued_event_inside_json_stays() -> None:
    assert seen(b'data: {"a":"}event: x"}\n\n') == [(None, b'{"a":"}event: x"}')]


def test_an_event_name_after_its_data_still_names_it() -> None:
    assert seen(b"data: x\nevent: late\n\n") == [("late", b"x")]


@pytest.mark.covers("FB-108")
def test_a_json_error_in_the_middle_of_a_stream_comes_out_whole() -> None:
    error = b'{\n  "error": {\n\n    "message": "} \\" {",\n    "code": [503]\n  }\n}'
    stream = b'data: {"a":1}\n\n' + error + b"\n\ndata: x\n\n"
    assert seen(stream) == [(None, b'{"a":1}'), (None, error), (None, b"x")]


@pytest.mark.covers("FB-108")
def test_lines_of_json_under_an_sse_content_type_are_records() -> None:
    assert seen(b'{"error":"a"}\n{"error":"b"}\n') == [(None, b'{"error":"a"}'), (None, b'{"error":"b"}')]


def test_an_error_as_an_array_comes_out_whole() -> None:
    assert seen(b'[{"error":{}}]') == [(None, b'[{"error":{}}]')]


def test_an_html_page_comes_out_whole_at_the_end() -> None:
    page = b"<html>\n\n<style>a{}</style>\n\ndata: no\n\n</html>\n"
    assert seen(page) == [(None, page.strip())]


def test_json_that_never_ends_comes_out_at_the_end_for_its_reader_to_judge() -> None:
    assert seen(b'{"error": {"mess\n\n') == [(None, b'{"error": {"mess')]


def test_raw_holds_the_exact_bytes_of_each_record() -> None:
    records = [b'data: {"a":1}\n\n', b"event: x\r\ndata:  y\r\n\r\n", b": c\ndata: 1\ndata: 2\n\n", b"data: z\r\r"]
    assert [frame.raw for frame in split(*records)] == records


@pytest.mark.covers("PF-1")
def test_a_cut_character_is_held_until_it_is_whole() -> None:
    record = 'data: {"a":"\N{GRINNING FACE}"}\n\n'.encode()
    for cut in range(len(record)):
        assert seen(record[:cut], record[cut:]) == [(None, record[6:-2])]


@pytest.mark.covers("PF-2")
def test_a_line_end_cut_between_cr_and_lf_is_one_line_end() -> None:
    assert seen(b"data: x\r", b"\ndata: y\r", b"\n\r", b"\ndata: z\r\n\r\n") == [(None, b"x\ny"), (None, b"z")]


pieces = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"event: a",
        b'{"a":"',
        b'"}',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"<p>",
        b": c",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\xef\xbb\xbf",
        b'data: {"a":1}\n\n',
        b'event: b\ndata: {"a":1}\n\n',
        b'data: {"a":1}\r\n\r\n',
        "é\N{GRINNING FACE}".encode(),
        b"x",
    ]
)


@pytest.mark.covers("FB-108", "PF-1", "PF-2")
@given(st.lists(pieces, max_size=30).map(b"".join), st.data())
def test_any_cut_of_the_bytes_gives_the_same_frames(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(*chunks) == split(stream)
    assert split(*(stream[at : at + 1] for at in range(len(stream)))) == split(stream)


@given(st.lists(st.tuples(st.sampled_from([None, "a", "x.y"]), st.text(min_size=1)), max_size=6))
def test_what_is_framed_is_read_back(records: list[tuple[str | None, str]]) -> None:
    wanted = [(event, text.encode()) for event, text in records if text.strip() and "\r" not in text]
    stream = b"".join(sse.frame(data, event) for event, data in wanted)
    assert [item for item in seen(stream) if item[1].strip()] == [item for item in wanted if item[1].strip()]


@pytest.mark.covers("PF-5")
def test_written_records_have_the_space_and_the_event_first() -> None:
    assert sse.frame(b"{}") == b"data: {}\n\n"
    assert sse.frame(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
    assert sse.frame(b"a\nb") == b"data: a\ndata: b\n\n"
    assert sse.comment("keep\nalive") == b": keep alive\n\n"


@pytest.mark.covers("FB-109")
@pytest.mark.parametrize("around", [(b'data: {"a":"', b'"}\n\n'), (b'{"a":"', b'"}')])
def test_a_huge_record_in_small_pieces_takes_linear_time(around: tuple[bytes, bytes]) -> None:
    def cpu(size: int) -> float:
        stream = around[0] + b"x\\n" * (size // 3) + around[1]
        splitter = Splitter()
        start = time.process_time()
        frames = [f for at in range(0, len(stream), 1024) for f in splitter.feed(stream[at : at + 1024])]
        assert len(frames) == 1
        return time.process_time() - start

    small, large = min(cpu(400_000) for _ in range(3)), cpu(6_400_000)
    assert large < 100 * max(small, 0.001)


@pytest.mark.covers("FB-109")
def test_only_a_record_past_the_limit_is_refused() -> None:
    splitter = Splitter(limit=1000)
    assert splitter.feed(b"data: x\n\n" * 1000)
    splitter.feed(b"data: " + b"x" * 900)
    with pytest.raises(sse.TooLong):
        splitter.feed(b"x" * 200)
