"""Logging: structlog events with dotted, stable names; JSON lines, or a readable form on a terminal.

Rule: no secret reaches a stream, a file or the ring: values under telling names are masked, and so is what looks like
a key. Lines are buffered and written at most every 100 ms while a loop runs, at once for warnings and without a loop.
`exchange` is the one line per exchange and skips the processor chain. `ring` keeps the newest records for the
management API.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from llm_mux import paths
from llm_mux.records import LEVELS, Record, Ring
from llm_mux.structured import structlog

MASK = "***"
FLUSH_S = 0.1
BUFFER_BYTES = 64 * 1024
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 3

_SECRET_NAME = re.compile(
    r"(^|-)(authorization|api-?key|key|token|secret|cookie|password|passphrase|credentials?|jwt|signature|bearer)$"
)
# Each pattern below contains one of these, so that a clean line costs a few substring searches instead of a regex.
_MARKS = (
    *("sk-", "sk_", "AIza", "earer ", "asic ", "key=", "token=", "code=", "secret=", "sig=", "signature=", "eyJ"),
    *("gho_", "ghp_", "ghu_", "ghs_", "ghr_", "_pat_", "xox", "xai-", "hf_", "r8_", "fw_", "pplx-", "nvapi-"),
    *("AKIA", "ASIA", "ya29.", "PRIVATE KEY"),
)
_SHORTEST = 8
_PLAIN = frozenset({int, float, bool, type(None)})
_SECRET_VALUE = re.compile(
    r"""
      \b(?:sk|csk|xai|pplx|nvapi)-[A-Za-z0-9_-]{6,}
    | \b(?:gsk|hf|r8|sk|fw)_[A-Za-z0-9]{8,}
    | \bAIza[A-Za-z0-9_-]{10,}
    | \b(?:[Bb]earer|[Bb]asic)\ +[A-Za-z0-9._~+/=-]{6,}
    | (?<=[?&])(?:key|api[_-]?key|(?:access_|refresh_|id_)?token|code|client_secret|sig(?:nature)?)=[^&\s"']+
    | \bgh[pousr]_[A-Za-z0-9]{16,} | \bgithub_pat_[A-Za-z0-9_]{16,} | \bxox[abpr]-[A-Za-z0-9-]{8,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,} | \bya29\.[A-Za-z0-9_-]{8,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9._-]+
    | -----BEGIN[A-Z\ ]*PRIVATE\ KEY-----[^-]*(?:-----END[A-Z\ ]*PRIVATE\ KEY-----)?
    | (?<=://)[^/\s:@"]*:[^/\s@"]+(?=@)
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def _secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name.lower().replace("_", "-")) is not None


def redact_text(text: str) -> str:
    """The text with everything that looks like a key masked."""
    return _SECRET_VALUE.sub(MASK, text)


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where in a text something looks like a key."""
    return (found.span() for found in _SECRET_VALUE.finditer(text))


def redact(value: Any) -> Any:
    """A copy with secrets masked, by the names they stand under and by their looks."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(name): _redact_named(str(name), each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(each) for each in value]
    if isinstance(value, (bytes, bytearray)):
        return redact_text(bytes(value).decode("utf-8", "replace"))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact_text(str(value))


def _redact_named(name: str, value: Any) -> Any:
    """Counts such as `token: 12` are no secrets; any text under a telling name is."""
    if _secret_name(name) and value is not None and not isinstance(value, (bool, int, float)):
        return MASK
    return redact(value)


def _needs_redaction(record: Record) -> bool:
    """Whether anything could be a secret: a telling name, a nested value, or text with a mark of one."""
    texts = []
    for name, value in record.items():
        if _secret_name(name):
            return True
        kind = type(value)
        if kind is str:
            if len(value) >= _SHORTEST and name != "timestamp":
                texts.append(value)
        elif kind not in _PLAIN:
            return True
    return may_hold_secrets("\n".join(texts))


def may_hold_secrets(text: str) -> bool:
    return any([mark in text for mark in _MARKS]) or ("@" in text and "://" in text)


_encoder = msgspec.json.Encoder(enc_hook=str)


def _encode(record: Record) -> bytes:
    try:
        return _encoder.encode(record)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        return _encoder.encode({name: _plainly(value) for name, value in record.items()})


def _plainly(value: Any) -> Any:
    """Without what no JSON can hold."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple):
        return [_plainly(each) for each in value]
    return str(value).encode("utf-8", "replace").decode()


def _sealed(record: Record) -> tuple[Record, bytes]:
    """The record without secrets and its JSON line."""
    if _needs_redaction(record):
        record = redact(record)
    return record, _encode(record) + b"\n"


class Stream(Protocol):
    def write(self, content: bytes, /) -> object: ...


class RotatingFile:
    """An append-only file, mode 0600, that moves to .1, .2, .3 when it is full."""

    def __init__(self, path: Path, *, limit: int = FILE_BYTES, kept: int = FILES_KEPT) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._open()

    def _open(self) -> None:
        paths.private_dir(self._path.parent)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, content: bytes, /) -> None:
        if not self._still_there():
            os.close(self._fd)
            self._open()
        if self._size and self._size + len(content) > self._limit:
            with _alone(self._path):
                if self._still_there():
                    self._rotate()
                else:
                    os.close(self._fd)
                    self._open()
        os.write(self._fd, content)

    def _still_there(self) -> bool:
        """Whether the path still leads to the open file: other workers move it too, and write to it."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        mine = os.fstat(self._fd)
        self._size = mine.st_size
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino) or os.name == "nt"

    def _rotate(self) -> None:
        os.close(self._fd)
        for number in range(self._kept, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._open()

    def clear(self) -> None:
        """Empties the file and forgets the older ones."""
        os.ftruncate(self._fd, 0)
        self._size = 0
        for number in range(1, self._kept + 1):
            self._numbered(number).unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process moves the file meanwhile, where the platform has such locks."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    fd = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Buffer:
    """Lines on their way to a stream. A stream that cannot take them loses them; logging never stops the daemon."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._lines: list[bytes] = []
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def write(self, line: bytes, *, now: bool) -> None:
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
        if now or self._size > BUFFER_BYTES or not self._scheduled():
            self.flush()

    def _scheduled(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(FLUSH_S, self.flush)
        return True

    def flush(self) -> None:
        with self._lock:
            lines, self._lines, self._size, self._loop = self._lines, [], 0, None
            if not lines:
                return
            try:
                self.stream.write(b"".join(lines))
            except (OSError, ValueError):
                return


class _Stderr:
    def write(self, content: bytes, /) -> None:
        sys.stderr.write(content.decode("utf-8", "replace"))
        sys.stderr.flush()


class _Outlet(Struct):
    """Where records go. `console` renders for a terminal; the other buffers take JSON lines."""

    lines: list[Buffer] = field(default_factory=list)
    console: Buffer | None = None
    render: Callable[[Record], str] = str
    debug: bool = False

    def publish(self, record: Record) -> None:
        record, line = _sealed(record)
        ring.add(line)
        now = record["level"] not in ("info", "debug")
        for buffer in self.lines:
            buffer.write(line, now=now)
        if self.console is not None:
            self.console.write(self.render(dict(record)).encode("utf-8", "replace") + b"\n", now=now)

    def flush(self) -> None:
        for buffer in self.lines:
            buffer.flush()
        if self.console is not None:
            self.console.flush()


ring = Ring()
_outlet = _Outlet()
watchers: list[Callable[[str, BaseException], None]] = []
"""Told of every logged exception and the event's name."""


def _stamp() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")


def _finish(_: Any, level: str, event: MutableMapping[str, Any]) -> tuple[tuple[Record], dict[str, Any]]:
    """Last in the chain: the record in its final order, handed to the outlet."""
    name = event.pop("event", "")
    return ({"timestamp": _stamp(), "level": level, "event": name, **event},), {}


class _Logger:
    """What structlog wraps: every level leads to the outlet."""

    def publish(self, record: Record) -> None:
        _outlet.publish(record)

    debug = info = warning = error = critical = publish


class Logger(structlog.BoundLoggerBase):
    """`logger.info("account.rested", account="work", seconds=30)`: a dotted event name and its facts."""

    def debug(self, event: str, **facts: Any) -> None:
        if _outlet.debug:
            self._proxy_to_logger("debug", event, **facts)

    def info(self, event: str, **facts: Any) -> None:
        self._proxy_to_logger("info", event, **facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._proxy_to_logger("warning", event, **facts)

    def error(self, event: str, **facts: Any) -> None:
        self._proxy_to_logger("error", event, **facts)

    def critical(self, event: str, **facts: Any) -> None:
        self._proxy_to_logger("critical", event, **facts)

    def exception(self, event: str, **facts: Any) -> None:
        """An error with the traceback of the exception being handled."""
        self._proxy_to_logger("error", event, **{"exc_info": True} | facts)
        if (error := sys.exception()) is not None:
            for watch in watchers:
                watch(event, error)


_PROCESSORS: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.format_exc_info,
    _finish,
)
logger = Logger(_Logger(), list(_PROCESSORS), {})


def exchange(event: str = "exchange.done", /, **fields: Any) -> None:
    """The one line of a finished exchange, at level info; bound context is not added."""
    _outlet.publish({"timestamp": _stamp(), "level": "info", "event": event, **fields})


def encoded(lines: Sequence[msgspec.Struct]) -> bytes:
    """Records as lines of JSON, encoded in one go."""
    try:
        return _encoder.encode_lines(lines)
    except UnicodeEncodeError:
        return b"".join([_encode(msgspec.structs.asdict(line)) + b"\n" for line in lines])


def exchanges(content: bytes, count: int, said: Iterable[str | None], lines: Iterable[msgspec.Struct]) -> None:
    """Lines of finished exchanges, `content` once encoded. Each has `timestamp`, `level` "info", `event` and its facts.
    `said` are the texts in them that others chose: where one looks like a secret, each line goes the long way."""
    if _outlet.console is not None or may_hold_secrets("\n".join([each for each in said if each])):
        for line in lines:
            _outlet.publish(msgspec.structs.asdict(line))
        return
    ring.add(content, count)
    for buffer in _outlet.lines:
        buffer.write(content, now=False)


def remember(lines: bytes, count: int) -> None:
    """Records that another process has written."""
    ring.add(lines, count)


class _Bridge(logging.Handler):
    """Records of libraries that use the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        facts: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            facts["exception"] = logging.Formatter().formatException(record.exc_info)
        known = level if level in LEVELS else "info"
        _outlet.publish({"timestamp": _stamp(), "level": known, "event": "library.log", **facts})


def configure(
    *, debug: bool = False, file: Path | None = None, stream: Stream | None = None, only_file: bool = False
) -> None:
    """Send records to `stream` (stderr; readable on a terminal, else JSON lines), and as JSON lines to `file`.

    `only_file`: nobody reads stderr. May be called again; the earlier destinations are flushed and let go.
    """
    flush()
    _close_files()
    _outlet.debug = debug
    _outlet.lines = []
    _outlet.console = None
    if only_file:
        pass
    elif stream is None and sys.stderr is not None and sys.stderr.isatty():
        _outlet.console = Buffer(_Stderr())
        _outlet.render = _terminal_renderer()
    else:
        _outlet.lines.append(Buffer(stream or _Stderr()))
    if file is not None:
        _outlet.lines.append(Buffer(RotatingFile(file)))
    _bridge_standard_logging()


def set_debug(value: bool, /) -> None:
    """Switch debug records on or off while running."""
    _outlet.debug = value
    logging.getLogger().setLevel(logging.DEBUG if value else logging.WARNING)


def debugging() -> bool:
    return _outlet.debug


def clear_files() -> None:
    """Forget every record in the files. Those in memory are the `ring`'s."""
    flush()
    for buffer in _outlet.lines:
        if isinstance(buffer.stream, RotatingFile):
            buffer.stream.clear()


def flush() -> None:
    """Write what is buffered now."""
    _outlet.flush()


def _close_files() -> None:
    for buffer in _outlet.lines:
        if isinstance(buffer.stream, RotatingFile):
            buffer.stream.close()


def _terminal_renderer() -> Callable[[Record], str]:
    render = structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
    return lambda record: str(render(None, record["level"], record))


def _bridge_standard_logging() -> None:
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    set_debug(_outlet.debug)
    for chatty in ("asyncio", "aiosqlite"):  # they tell every statement, and what users said with it
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=list(_PROCESSORS),
        wrapper_class=Logger,
        logger_factory=lambda *_: _Logger(),
        cache_logger_on_first_use=True,
    )


atexit.register(flush)
