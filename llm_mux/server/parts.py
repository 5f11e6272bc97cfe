"""What lives as long as the process, whatever the configuration becomes: stores, the HTTP client, counters, memories.

Something long-lived is a field of `Parts` and a line in `opened`, which also says how it ends. What follows from the
configuration is made in `server/build.py`, again at every reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from llm_mux import log, paths
from llm_mux.auth.postgres_store import PostgresStore
from llm_mux.auth.store import SecretStore, StoreError
from llm_mux.config import Config
from llm_mux.gateway.background import Background
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.drain import Drain
from llm_mux.gateway.models import ModelLists
from llm_mux.gateway.seals import Seals
from llm_mux.gateway.upstream import Upstream, open_upstream
from llm_mux.gateway.waiting import Waiting
from llm_mux.ledger.balances import Balances
from llm_mux.ledger.database import Database, located
from llm_mux.ledger.key_book import KeyBook
from llm_mux.ledger.keys import KeyTable
from llm_mux.ledger.responses import SHARED_PATIENCE_S, ResponseStore
from llm_mux.ledger.retention import Retention
from llm_mux.ledger.till import Till
from llm_mux.ledger.writer import Writer
from llm_mux.routing.standing import Standing
from llm_mux.server.account_metrics import readings
from llm_mux.server.account_notes import AccountNotes
from llm_mux.server.books import Books
from llm_mux.server.cooldowns import Cooldowns
from llm_mux.server.ending import stopped
from llm_mux.server.ledger_metrics import of_the_ledger
from llm_mux.server.limiter import Limiters
from llm_mux.server.management.access import Lockout
from llm_mux.server.management.sessions import Sessions
from llm_mux.server.metrics import Metrics, Reading, user_balances
from llm_mux.server.peers import Peers
from llm_mux.server.quotas import Quotas
from llm_mux.server.recent import Recent
from llm_mux.server.sentry import Sentry
from llm_mux.server.shared_rests import SharedRests
from llm_mux.server.shared_seals import SharedSeals
from llm_mux.server.sign_ins import SignIns
from llm_mux.server.traces import Traces
from llm_mux.server.upstream_metrics import of_the_upstream
from llm_mux.server.worker import Worker
from llm_mux.translators.openai_responses.background import running as is_running

_PARTIAL_S = 60.0
_FOLLOW_S = 3.0


class Parts(Struct, frozen=True, kw_only=True):
    """`env` and `secrets` are read again with the configuration; `demo_url` is the demo provider's, if it runs.
    `started` is unix seconds. What has a default needs no end."""

    env: Mapping[str, str]
    secrets: SecretStore
    demo_url: str | None
    database: Database
    writer: Writer
    retention: Retention
    responses: ResponseStore
    background: Background
    metrics: Metrics
    books: Books
    lists: ModelLists
    shared_seals: SharedSeals
    upstream: Upstream
    key_book: KeyBook
    limiters: Limiters
    till: Till
    credentials: Credentials
    drain: Drain = field(default_factory=Drain)
    lockout: Lockout = field(default_factory=Lockout)
    sessions: Sessions = field(default_factory=Sessions)
    started: float = field(default_factory=time.time)
    recent: Recent
    sign_ins: SignIns
    standing: Standing
    traces: Traces
    sentry: Sentry
    waiting: Waiting
    cooldowns: Cooldowns
    quotas: Quotas
    account_notes: AccountNotes
    peers: Peers
    rests: SharedRests

    @property
    def seals(self) -> Seals:
        return self.shared_seals.seals


@contextlib.asynccontextmanager
async def opened(
    config: Config,
    env: Mapping[str, str],
    secrets: SecretStore,
    demo_url: str | None,
    worker: Worker | None = None,
) -> AsyncIterator[Parts]:
    """The parts, for as long as the block lasts. What is opened last is closed first.

    `config` decides only what cannot change without a restart.
    """
    await asyncio.to_thread(_swept, paths.state_dir(env), paths.data_dir(env), paths.cache_dir(env) / "models")
    async with AsyncExitStack() as stack:
        upstream, credentials = await _outward(stack, config, env, secrets)
        database = Database(located(config.usage.database, paths.data_dir(env)))
        shared = worker is not None or database.shared
        writer, responses, retention = await _ledger(stack, database, paths.data_dir(env) / "spool", shared=shared)
        key_book, limiters, till = await _clients(stack, database, writer, worker)
        metrics = Metrics(_read(credentials, till, writer, upstream))
        sign_ins = SignIns()
        stack.push_async_callback(sign_ins.close)
        recent = Recent()
        traces, sentry = await _telemetry(stack, upstream)
        books = Books(writer, metrics, recent, traces)
        stack.callback(books.flush)
        peers, shared_seals, background = _beside(stack, worker, env)
        standing = Standing()
        waiting, cooldowns, quotas, rests, account_notes = await _resting(stack, env, database, standing, peers)
        yield Parts(
            env=env,
            secrets=secrets,
            demo_url=demo_url,
            database=database,
            writer=writer,
            retention=retention,
            responses=responses,
            background=background,
            metrics=metrics,
            books=books,
            lists=ModelLists(paths.cache_dir(env) / "models", credentials),
            shared_seals=shared_seals,
            upstream=upstream,
            key_book=key_book,
            limiters=limiters,
            till=till,
            credentials=credentials,
            recent=recent,
            sign_ins=sign_ins,
            traces=traces,
            sentry=sentry,
            standing=standing,
            waiting=waiting,
            cooldowns=cooldowns,
            quotas=quotas,
            account_notes=account_notes,
            peers=peers,
            rests=rests,
        )


def _read(credentials: Credentials, till: Till, writer: Writer, upstream: Upstream) -> tuple[Reading, ...]:
    """The numbers that are read at each scrape."""
    return (*readings(credentials), user_balances(till), *of_the_ledger(writer), *of_the_upstream(upstream))


def _beside(
    stack: AsyncExitStack, worker: Worker | None, env: Mapping[str, str]
) -> tuple[Peers, SharedSeals, Background]:
    """The other workers, what they are told of seals, and the responses that run in the background."""
    peers = Peers(worker)
    stack.push_async_callback(peers.close)
    shared_seals = SharedSeals(peers, env)
    stack.push_async_callback(shared_seals.close)
    background = Background()
    stack.push_async_callback(background.close)
    return peers, shared_seals, background


async def _outward(
    stack: AsyncExitStack, config: Config, env: Mapping[str, str], secrets: SecretStore
) -> tuple[Upstream, Credentials]:
    """What asks providers, and keeps the logins good that it asks with."""
    upstream = open_upstream(config.upstream_client, most=config.connections_per_host)
    stack.push_async_callback(upstream.close)
    credentials = Credentials(secrets, paths.data_dir(env), upstream)
    stack.push_async_callback(credentials.close)
    following = (_followed(secrets),) if isinstance(secrets, PostgresStore) else ()
    await stack.enter_async_context(running(credentials.run(), *following))
    return upstream, credentials


async def _followed(secrets: PostgresStore) -> None:
    """What other machines change in the secrets is read here too."""
    before: tuple[int, int] | None = None
    while True:
        now: tuple[int, int] | None
        try:
            now = await asyncio.to_thread(secrets.state)
        except StoreError:
            now = before
        if now != before and before is not None:
            await asyncio.to_thread(secrets.changed)
        before = now
        await asyncio.sleep(_FOLLOW_S)


def _swept(*folders: Path) -> None:
    """Half-written files of a process that was killed; those of one that writes now are younger."""
    for folder in folders:
        paths.sweep(folder, time.time() - _PARTIAL_S)


async def _resting(
    stack: AsyncExitStack, env: Mapping[str, str], database: Database, standing: Standing, peers: Peers
) -> tuple[Waiting, Cooldowns, Quotas, SharedRests, AccountNotes]:
    """What is done about the state of accounts. Of several workers one writes it down."""
    waiting, leads = Waiting(), peers.number == 0
    cooldowns = Cooldowns(paths.state_dir(env) / "cooldowns.json", waiting, standing)
    stack.push_async_callback(cooldowns.close)
    quotas = Quotas(paths.state_dir(env) / "quotas.json")
    stack.push_async_callback(quotas.close)
    await stack.enter_async_context(running(quotas.run()))
    rests = SharedRests(waiting, standing, peers)
    stack.push_async_callback(rests.close)
    account_notes = AccountNotes(database)
    if leads:
        stack.push_async_callback(account_notes.close)
        await stack.enter_async_context(running(account_notes.run()))
    return waiting, cooldowns, quotas, rests, account_notes


async def _clients(
    stack: AsyncExitStack, database: Database, writer: Writer, worker: Worker | None
) -> tuple[KeyBook, Limiters, Till]:
    """What is known of clients: their keys, how fast they are, what they have."""
    limiters = Limiters("" if worker is None else worker.place)
    key_book, till = KeyBook(KeyTable(database)), Till(Balances(database), writer)
    stack.push_async_callback(limiters.close)
    stack.push_async_callback(key_book.close)
    await stack.enter_async_context(running(key_book.run()))
    stack.push_async_callback(till.close)
    return key_book, limiters, till


async def _ledger(
    stack: AsyncExitStack, database: Database, spool: Path, *, shared: bool
) -> tuple[Writer, ResponseStore, Retention]:
    """What writes to the database; it closes after all of them. `shared`: other processes write to it too."""
    stack.push_async_callback(database.close)
    writer, retention = Writer(database, spool), Retention(database)
    patience_s = SHARED_PATIENCE_S if shared else 0.0
    responses = ResponseStore(database, patience_s=patience_s, lasting=lambda body: not is_running(body))
    opening = (_opened_soon(database),) if shared else ()
    await stack.enter_async_context(running(writer.run(), responses.run(), retention.run(), *opening))
    stack.push_async_callback(responses.close)
    stack.push_async_callback(writer.close)
    return writer, responses, retention


async def _opened_soon(database: Database) -> None:
    """Who shares it will be asked what others wrote: better not to begin then."""
    with contextlib.suppress(Exception):
        await database.open()


async def _telemetry(stack: AsyncExitStack, upstream: Upstream) -> tuple[Traces, Sentry]:
    """What tells others of exchanges and of errors; nobody, unless the configuration says whom."""
    traces, sentry = Traces(upstream), Sentry()
    await stack.enter_async_context(running(traces.run()))
    stack.push_async_callback(traces.close)
    stack.push_async_callback(asyncio.to_thread, sentry.close)
    stack.enter_context(_watched(sentry.report))
    return traces, sentry


@contextlib.contextmanager
def _watched(report: Callable[[str, BaseException], None]) -> Iterator[None]:
    """`report` is told of exceptions that are logged, for as long as the block lasts."""
    log.watchers.append(report)
    try:
        yield
    finally:
        log.watchers.remove(report)


@contextlib.asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The loops run beside the block and end with it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        await stopped(*tasks)
