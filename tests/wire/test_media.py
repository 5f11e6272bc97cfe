"""Data URLs, base64, and what kind of file it really is."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import media


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("data:image/png;base64,iVBORw==", ("image/png", "iVBORw==")),
        (" data:image/png;base64,iVBO\r\n Rw== ", ("image/png", "iVBORw==")),
        ("DATA:Image/PNG;charset=utf-8;name=a.png;BASE64,iVBORw==", ("image/png", "iVBORw==")),
        ("data:image/png;base64,iVBORw", ("image/png", "iVBORw==")),
        ("data:image/png;base64,iVBORw%3D%3D", ("image/png", "iVBORw==")),
        ("data:image/png;base64,-_-_", ("image/png", "+/+/")),
        ("data:;base64,aGk=", ("text/plain", "aGk=")),
        ("data:,h%20i", ("text/plain", b64encode(b"h i").decode())),
        ("data:image/png;base64", None),
        ("https://example.com/a.png", None),
        ("", None),
    ],
)
def test_data_urls_are_read(url: str, parsed: tuple[str, str] | None) -> None:
    assert media.parse_data_url(url) == parsed


@given(st.binary())
def test_a_data_url_is_read_back(data: bytes) -> None:
    b64 = b64encode(data).decode()
    assert media.parse_data_url(media.data_url("image/png", b64)) == ("image/png", b64)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00????", None),
        (b"%PDF-1.7", "application/pdf"),
        (b"ID3\x03", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic"),
        (b"\x00\x00\x00\x18ftypavif", "image/avif"),
        (b"\x00\x00\x00\x18ftypM4A ", "audio/mp4"),
        (b"FORM\x00\x00\x00\x00AIFF", "audio/aiff"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_the_first_bytes_show_the_type(head: bytes, media_type: str | None) -> None:
    assert media.sniff(b64encode(head + b"\x00" * 200).decode()) == media_type
    assert media.sniff(b64encode(head).decode()) == media_type or len(head) % 3


@given(st.text())
def test_sniffing_nonsense_never_raises(text: str) -> None:
    media.sniff(text)
    media.parse_data_url("data:" + text)


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [("a.PDF", "application/pdf"), ("x.tar.mp3", "audio/mpeg"), ("noext", None), ("a.unknown", None), ("", None)],
)
def test_a_file_name_hints_at_the_type(filename: str, media_type: str | None) -> None:
    assert media.guess(filename) == media_type


@pytest.mark.parametrize(
    ("word", "media_type"),
    [("mp3", "audio/mpeg"), ("wav", "audio/wav"), ("flac", "audio/flac"), ("pcm16", "audio/pcm"), ("m4a", "audio/mp4")],
)
def test_audio_formats_and_types_belong_together(word: str, media_type: str) -> None:
    assert media.audio_type(word) == media_type
    assert media.audio_format(media_type) == word


def test_audio_types_with_parameters_and_old_names_are_known() -> None:
    assert [media.audio_format(kind) for kind in ("audio/x-wav", "audio/vnd.wave; codecs=1", "AUDIO/MP3")] == [
        "wav",
        "wav",
        "mp3",
    ]
