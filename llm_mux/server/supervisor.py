"""`llm-mux serve --workers`: one process that starts the workers, keeps them alive and ends them.

Rule: it serves nothing itself. It has the listening sockets, so that what waits in the queue of a worker that died is
answered by its successor. A worker that dies is started again, at once when it had served. While one does not come to
serve again, the others answer all; when none does, and nobody kills them, the daemon ends and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from llm_mux import log, paths
from llm_mux.config import Loaded
from llm_mux.server import early, handover
from llm_mux.server.address import Doors, Unheard
from llm_mux.server.announce import EXIT_FAILED, EXIT_OK, EXIT_USAGE, announce, exit_code, show_ways_in
from llm_mux.server.signals import Signals
from llm_mux.server.worker import BARE, READY, WORKER, Worker

MOST_IN_A_ROW = 5
SERVED_S = 1.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_GRACE_S = 10.0
_BACKLOG = 256
_PREFIX = "llm-mux-"
_LOCK = "lock"


def count(setting: int) -> int:
    """How many workers `workers` means here."""
    return setting or usable_cpus()


def usable_cpus() -> int:
    """The CPUs that this process may use: those it is bound to, and the share that its container has."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cpus = min(cpus, max(1, int(quota) // int(period)))
    return cpus


class _Place(Struct):
    """What the worker of one number has, whoever it is at the moment. `bare`: it came up without an account. `failed`:
    so many in a row ended before they had served, `broken` of them without being killed."""

    number: int
    sockets: dict[tuple[str, int], list[socket.socket]]
    door: socket.socket
    process: asyncio.subprocess.Process | None = None
    bare: bool = False
    failed: int = 0
    broken: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)


async def supervise(loaded: Loaded, workers: int, *, demo: bool, detached: bool) -> int:
    """Until SIGTERM or SIGINT, until a successor has taken over, or until workers do not live; the exit code."""
    if sys.platform == "win32":
        print("llm-mux: workers: this platform has no sockets that processes share; set workers: 1", file=sys.stderr)
        return EXIT_USAGE
    doors = Doors(handover.inherited(os.environ))
    with _folder() as folder:
        try:
            bound, places = await _places(loaded, doors, workers, folder)
        except (Unheard, OSError) as error:
            print(f"llm-mux: {error}", file=sys.stderr)
            return exit_code(error)
        doors.settle()
        return await _Supervisor(loaded, doors, places, folder, detached).run(bound, demo=demo)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder of this user alone with a short name: the names of sockets are short. Those of supervisors that were
    killed go: a lock in each says whether somebody lives."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError), _held(left):
            shutil.rmtree(left.parent, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        with _held(made / _LOCK):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Raises OSError when somebody else holds it, or may."""
    import fcntl

    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


async def _places(loaded: Loaded, doors: Doors, workers: int, folder: Path) -> tuple[int, list[_Place]]:
    config = loaded.config
    bound, shares = await doors.divide(config.host, config.port, workers)
    places = [
        _Place(number, {(config.host, config.port): mine}, _door(folder / f"{number}.sock"))
        for number, mine in enumerate(shares)
    ]
    if config.ollama_port:
        _, shares = await doors.divide(config.host, config.ollama_port, workers)
        for place, mine in zip(places, shares, strict=True):
            place.sockets[config.host, config.ollama_port] = mine
    return bound, places


def _door(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(_BACKLOG)
    return made


class _Supervisor:
    """`run` it once."""

    def __init__(self, loaded: Loaded, doors: Doors, places: list[_Place], folder: Path, detached: bool) -> None:
        self._loaded = loaded
        self._doors = doors
        self._places = places
        self._folder = folder
        self._detached = detached
        self._ending = False

    async def run(self, bound: int, *, demo: bool) -> int:
        signals = Signals(self._reload, self._succeed)
        keepers = [asyncio.create_task(self._keep(place)) for place in self._places]
        signals.listen()
        try:
            code = await self._started(keepers, signals)
            if code is not None:
                return code
            await announce(self._loaded, bound, demo)
            if all(place.bare for place in self._places):
                show_ways_in()
            log.logger.info("workers.started", workers=len(self._places))
            early.settled()
            told = asyncio.create_task(signals.told_to_end(self._end_now))
            first: list[asyncio.Task[Any]] = [told, *keepers]
            done, _ = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            return EXIT_OK if told in done else self._looped(keepers)
        finally:
            await self._end(keepers)
            paths.remove_daemon(os.getpid(), os.environ)

    async def _started(self, keepers: list[asyncio.Task[int]], signals: Signals) -> int | None:
        """Waits until all serve; the exit code when that does not come to be."""
        all_ready = asyncio.gather(*(place.ready.wait() for place in self._places))
        told = asyncio.create_task(signals.told_to_end(self._end_now))
        first: list[asyncio.Future[Any]] = [all_ready, told, *keepers]
        done, _ = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        all_ready.cancel()
        told.cancel()
        await asyncio.gather(all_ready, told, return_exceptions=True)
        if told in done:
            return EXIT_OK
        ended = [keeper for keeper in keepers if keeper in done]
        return ended[0].result() if ended else None

    def _looped(self, keepers: list[asyncio.Task[int]]) -> int:
        number = next(number for number, keeper in enumerate(keepers) if keeper.done())
        code = keepers[number].result()
        message = (
            f"worker {number} ended {self._places[number].broken} times in a row before it served (exit code {code})"
        )
        log.logger.error("workers.crash_loop", worker=number, code=code)
        print(f"llm-mux: {message}; the log says why. The daemon ends.", file=sys.stderr, flush=True)
        return EXIT_FAILED

    async def _keep(self, place: _Place) -> int:
        """Starts a worker again and again; returns its exit code when it never came to serve, or when none serves."""
        while True:
            code, lived_s = await self._one(place)
            if self._ending:
                return code
            if not place.ready.is_set():
                return code  # It has never served: what it printed says why.
            if lived_s >= SERVED_S:
                place.failed = place.broken = 0
            else:
                place.failed += 1
                # Whoever kills workers (a machine short of memory) says nothing of whether the next one can serve.
                place.broken += code != -signal.SIGKILL
            if all(each.broken >= MOST_IN_A_ROW for each in self._places):
                return code
            if not lived_s and (code > 0 or (place.failed >= MOST_IN_A_ROW and self._others_serve(place))):
                self._stand_aside(place)
            doublings = min(place.failed - 1, MOST_IN_A_ROW * 2)
            pause_s = min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S) if place.failed else 0.0
            log.logger.warning("worker.ended", worker=place.number, code=code, again_in_s=pause_s)
            await asyncio.sleep(pause_s)

    def _others_serve(self, place: _Place) -> bool:
        return any(each.failed == 0 for each in self._places if each is not place)

    def _stand_aside(self, place: _Place) -> None:
        """Nobody waits in the queue of one that does not come to serve: until it does, connections go to the others."""
        for address, sockets in place.sockets.items():
            place.sockets[address] = self._doors.anew(address, sockets)

    async def _one(self, place: _Place) -> tuple[int, float]:
        """The life of one worker: its exit code and how long it served."""
        ours, theirs = socket.socketpair()
        with theirs:
            place.process = process = await self._spawn(place, theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        served = None
        try:
            said = await reader.readline()
            place.bare = said == BARE
            if said in (READY, BARE):
                served = time.monotonic()
                place.ready.set()
            code = await process.wait()
        finally:
            writer.close()
        return code, 0.0 if served is None else time.monotonic() - served

    async def _spawn(self, place: _Place, line: socket.socket) -> asyncio.subprocess.Process:
        numbers = [(*at, [each.fileno() for each in sockets]) for at, sockets in place.sockets.items()]
        worker = Worker(
            number=place.number,
            of=len(self._places),
            folder=str(self._folder),
            supervisor=os.getpid(),
            door=place.door.fileno(),
            line=line.fileno(),
        )
        env = {
            **os.environ,
            WORKER: msgspec.json.encode(worker).decode(),
            handover.SOCKETS: msgspec.json.encode(numbers).decode(),
        }
        if self._detached:
            env[handover.DETACHED] = "1"
        return await asyncio.create_subprocess_exec(
            *handover.command(),
            env=env,
            pass_fds=[worker.door, worker.line, *(number for *_, fds in numbers for number in fds)],
            stdin=subprocess.DEVNULL,
            # Ctrl-C in a terminal goes to everybody in the group of the foreground: the workers hear it from here.
            process_group=0,
        )

    async def _reload(self) -> None:
        self._signal("SIGHUP")

    async def _succeed(self) -> bool:
        """Start a successor; whether it serves. The workers leave to it what it writes, or hear that there is none."""
        self._signal("SIGUSR2")
        if await handover.succeed(self._doors, detached=self._detached):
            return True
        self._signal("SIGUSR2")
        return False

    def _signal(self, name: str) -> None:
        for place in self._places:
            if place.process is not None and place.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    place.process.send_signal(getattr(signal, name))

    async def _end(self, keepers: list[asyncio.Task[int]]) -> None:
        """Tells the workers to finish, and waits for them."""
        self._ending = True
        self._doors.close()
        self._signal("SIGTERM")
        most_s = self._loaded.config.drain_timeout + self._loaded.config.drain_delay + _GRACE_S
        _, late = await asyncio.wait(keepers, timeout=most_s)
        if late:
            self._signal("SIGKILL")
            await asyncio.wait(late)

    def _end_now(self, number: int) -> None:
        self._signal("SIGTERM")
        log.flush()
        paths.remove_daemon(os.getpid())
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(128 + number)
