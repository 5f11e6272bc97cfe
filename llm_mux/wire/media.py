"""Media as it travels in JSON: data URLs, base64, and what kind of file it really is.

Rule: base64 is passed on as it came; only blanks, percent escapes, the URL-safe alphabet and lost padding are mended.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from urllib.parse import unquote, unquote_to_bytes

_HEADER_LIMIT = 1024
_URL_SAFE = str.maketrans("-_", "+/")

_BY_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"#!AMR", "audio/amr"),
    (b"PK\x03\x04", "application/zip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_MP3_FRAMES = frozenset((b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"))

_BY_EXTENSION = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/opus",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "aiff": "audio/aiff",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "txt": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "csv": "text/csv",
    "xml": "text/xml",
    "py": "text/x-python",
    "js": "text/javascript",
    "json": "application/json",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "rtf": "application/rtf",
    "zip": "application/zip",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

_AUDIO_TYPES = {"mp3": "audio/mpeg", "pcm16": "audio/pcm", "m4a": "audio/mp4"}
_AUDIO_FORMATS = {
    "mpeg": "mp3",
    "mpga": "mp3",
    "wave": "wav",
    "vnd.wave": "wav",
    "mp4": "m4a",
    "l16": "pcm16",
    "pcm": "pcm16",
}


def parse_data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64) of a data URL, None for any other URL. Parameters are dropped, plain text is encoded."""
    url = url.lstrip()
    if url[:5].lower() != "data:":
        return None
    comma = url.find(",", 5, _HEADER_LIMIT)
    if comma < 0:
        return None
    media_type, *parameters = (word.strip().lower() for word in url[5:comma].split(";"))
    data = url[comma + 1 :]
    if "base64" in parameters:
        return media_type or "text/plain", _mended(data)
    return media_type or "text/plain", b64encode(unquote_to_bytes(data)).decode()


def _mended(data: str) -> str:
    if "%" in data:
        data = unquote(data)
    if any(blank in data for blank in " \n\r\t"):
        data = "".join(data.split())
    if "-" in data or "_" in data:
        data = data.translate(_URL_SAFE)
    return data + "=" * (-len(data) % 4)


def data_url(media_type: str, b64: str) -> str:
    return f"data:{media_type};base64,{b64}"


def sniff(b64: str) -> str | None:
    """The media type that the first bytes show, None when they show none."""
    head = _decoded_head(b64)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "audio/aiff"
    if head[:2] in _MP3_FRAMES:
        return "audio/mpeg"
    return next((kind for magic, kind in _BY_MAGIC if head.startswith(magic)), None)


def _decoded_head(b64: str) -> bytes:
    head = "".join(b64[:128].split()).translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(head[: len(head) // 4 * 4])
    except ValueError:
        return b""


def guess(filename: str) -> str | None:
    """The media type that a file name's extension stands for; the same on every machine."""
    return _BY_EXTENSION.get(filename.rpartition(".")[2].lower()) if "." in filename else None


def audio_format(media_type: str) -> str:
    """OpenAI's word for an audio type: "audio/mpeg" is "mp3", "audio/x-wav" is "wav"."""
    subtype = media_type.partition(";")[0].strip().lower().rpartition("/")[2].removeprefix("x-")
    return _AUDIO_FORMATS.get(subtype, subtype)


def audio_type(format: str) -> str:
    """The media type for OpenAI's word: "mp3" is "audio/mpeg"."""
    word = format.strip().lower()
    return _AUDIO_TYPES.get(word, f"audio/{word}")
