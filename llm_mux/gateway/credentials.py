"""Tokens kept good: renewed ahead of their end, once for everybody who waits, and stored before they are used.

Rules. An account with an API key costs nothing here, one with a good token a comparison. A renewal goes on when the
client that waited for it leaves. Of several processes with one store exactly one asks the provider. A final refusal
makes the account ask for a login, at once visible, and nobody is asked again in vain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from llm_mux.auth.base import Credential, LoginError
from llm_mux.auth.logins import StoredLogin, find_login, holding, renew_login
from llm_mux.auth.store import SecretStore, StoreError
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.steps import drive, performer
from llm_mux.gateway.upstream import Upstream
from llm_mux.routing.accounts import Account, Session, without_secrets
from llm_mux.structured import structlog

T = TypeVar("T")
_LONGEST_SLEEP_S = 60.0
_AGAIN_S = 60.0
_LONGEST_AGAIN_S = 300.0
_MOST_AT_ONCE = 10
_CLOSING_S = 35.0
_STORE_TRIES = 3
_LOCK_PAUSE_S = 0.05
_LOCK_TRIES = 2400
_log = structlog.get_logger()


class Credentials:
    """Long-lived. `folder` holds the locks. `clock` gives epoch seconds."""

    def __init__(
        self, store: SecretStore, folder: Path, upstream: Upstream, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._folder = folder
        self._upstream = upstream
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        self._wake = asyncio.Event()
        self.accounts: list[Account] = []
        """Those with a login, as the configuration has them now."""
        self.refreshes: dict[tuple[str, str], int] = {}
        """How many renewals went how, by (provider, outcome): ok, adopted, failed, login_needed."""

    async def ready(self, account: Account) -> None:
        """Returns when the account's key can be sent. Raises MuxError when there is none to be had now."""
        session = account.session
        if session is None:
            return
        now = self._clock()
        if now < session.due and not session.before(now):
            return
        if session.problem:
            raise MuxError(Kind.LOGIN_NEEDED, session.problem)
        if session.login.refresh is None:
            if now < session.over:
                return
            raise self._login_needed(account, "it has ended")
        if now < session.over and not session.before(now):
            # Good for a while yet: the client need not wait for the next one.
            if now >= session.again_at:
                self._start(account)
            return
        # A second time when the first renewal was that of the account's older self, before a new configuration.
        for _ in range(2):
            if self._clock() >= session.again_at:
                await asyncio.shield(self._start(account))
            if session.problem:
                raise MuxError(Kind.LOGIN_NEEDED, session.problem)
            if account.session is not session:
                return
        raise self._not_now(account, session)

    async def refused(self, account: Account, key: str) -> bool:
        """After the provider refused `key`: whether the account has another one now, so that it is worth asking once
        more. Raises MuxError when only a new login helps."""
        session = account.session
        if session is None:
            return False
        if account.key != key:
            return True
        for _ in range(2):
            if session.login.refresh is not None and not session.problem and self._clock() >= session.again_at:
                await asyncio.shield(self._start(account))
            if session.problem:
                raise MuxError(Kind.LOGIN_NEEDED, session.problem)
            if account.key != key:
                return True
        return False

    async def using(self, account: Account, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gets with the account's key as it is good now; a token that is refused is renewed, and asked with
        once more."""
        if account.session is None:
            return await ask()
        await self.ready(account)
        key = account.key
        try:
            return await ask()
        except MuxError as error:
            if error.kind is not Kind.UPSTREAM_AUTH or not await self.refused(account, key):
                raise
        return await ask()

    def watch(self, accounts: Iterable[Account]) -> None:
        """The accounts of a new reading of the configuration, to be kept good from now on."""
        self.accounts = [account for account in accounts if account.session is not None]
        self._wake.set()

    async def run(self) -> None:
        """Renews whatever comes due. Sleeps until the next one, but never long: a machine that was asleep does not
        count the time."""
        while True:
            self._wake.clear()
            pause = self._renew_due()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Lets renewals that are under way end: what the provider has rotated must get into the store."""
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=_CLOSING_S)

    def _renew_due(self) -> float | None:
        """Starts what is due; seconds until the next, None when nothing ever is."""
        now = self._clock()
        pause = None
        for account in self.accounts:
            session = account.session
            if session is None or session.problem or session.login.refresh is None:
                continue
            at = max(session.due, session.again_at)
            if (at <= now or session.before(now)) and session.again_at <= now:
                self._start(account)
                at = now + _LONGEST_SLEEP_S
            if at != float("inf"):
                left = min(max(at - now, 0.1), _LONGEST_SLEEP_S)
                pause = left if pause is None else min(pause, left)
        return pause

    def _start(self, account: Account) -> asyncio.Task[None]:
        """The renewal of an account: the one that is under way, or a new one."""
        task = self._running.get(account.name)
        if task is None:
            task = self._running[account.name] = asyncio.create_task(self._renew(account))
            task.add_done_callback(lambda done: self._running.pop(account.name, None))
        return task

    async def _renew(self, account: Account) -> None:
        """Never raises: what came of it is in the account's session."""
        session = account.session
        if session is None:
            return
        try:
            async with self._slots:
                outcome = await self._under_lock(account, session)
        except LoginError as error:
            outcome = self._failed(account, session, error)
        except (StoreError, OSError) as error:
            outcome = self._failed(account, session, LoginError(str(error)))
        except Exception as error:
            outcome = self._failed(account, session, LoginError(f"an internal error ({type(error).__name__})"))
        counted = (account.provider.name, outcome)
        self.refreshes[counted] = self.refreshes.get(counted, 0) + 1
        self._wake.set()

    async def _under_lock(self, account: Account, session: Session) -> str:
        """Renews, unless another process has done it or the user has logged out or in again."""
        provider, label = account.provider.name, account.label
        async with _holding(self._store, self._folder, account.name):
            stored = await asyncio.to_thread(find_login, self._store, provider, label)
            if stored is None:
                raise LoginError("it was logged out", final=True)
            if stored.credential != session.credential and not self._over_soon(session, stored.credential):
                account.renew(stored.credential)
                return "adopted"
            assert session.login.refresh is not None
            flow = session.login.refresh(session.oauth, stored.credential, self._clock())
            perform = performer(self._upstream, proxy=account.proxy_url, place=f"the login server of {provider}")
            new = await drive(flow, perform)
            await self._kept(replace(stored, credential=new))
            account.renew(new)
            return "ok"

    def _over_soon(self, session: Session, credential: Credential) -> bool:
        return self._clock() >= Session(session.login, session.oauth, credential, session.base).due

    async def _kept(self, login: StoredLogin) -> None:
        """Stores a credential before it is used. If the store cannot, the token is still better used than lost."""
        for left in reversed(range(_STORE_TRIES)):
            try:
                await asyncio.to_thread(renew_login, self._store, login)
                return
            except (StoreError, OSError) as error:
                _log.error("login.not_stored", account=login.account, error=str(error), tries_left=left)
                await asyncio.sleep(0.2 if left else 0)

    def _failed(self, account: Account, session: Session, error: LoginError) -> str:
        said = without_secrets((*self.accounts, account), str(error))
        if error.final:
            self._login_needed(account, said)
            return "login_needed"
        session.tries += 1
        pause = error.retry_after or min(_AGAIN_S * 2.0 ** min(session.tries - 1, 8), _LONGEST_AGAIN_S)
        session.again_at = self._clock() + pause
        account.last_error = f"the login could not be renewed: {said}"
        _log.warning("login.not_renewed", account=account.name, error=said, again_in_s=round(pause))
        return "failed"

    def _not_now(self, account: Account, session: Session) -> MuxError:
        wait = max(1.0, session.again_at - self._clock())
        message = f"The token of {account.name} is over and could not be renewed yet: {account.last_error}."
        return MuxError(Kind.UPSTREAM_ERROR, message, retry_after=min(wait, _LONGEST_AGAIN_S))

    def _login_needed(self, account: Account, said: str) -> MuxError:
        """Marks the account; the words name the command that mends it."""
        message = f"The login of {account.name} has to be done again ({said}). Run `{command(account)}`."
        account.needs_login(message)
        _log.warning("login.needed", account=account.name, error=said)
        return MuxError(Kind.LOGIN_NEEDED, message)


def command(account: Account) -> str:
    """The command that logs in to this account again."""
    name = "" if account.label == "default" else f" --name {account.label}"
    way = account.session.login.way if account.session is not None else ""
    flags = {"browser": " --oauth", "device": " --device", "code-assist": " --code-assist"}.get(way, "")
    return f"llm-mux login {account.provider.name}{flags}{name}"


@asynccontextmanager
async def _holding(store: SecretStore, folder: Path, account: str) -> AsyncIterator[None]:
    """The account's lock, without a thread that hangs while another process has it."""
    lock = holding(folder, account, wait=False, store=store)
    for _ in range(_LOCK_TRIES):
        try:
            await asyncio.to_thread(lock.__enter__)
            break
        except BlockingIOError:
            await asyncio.sleep(_LOCK_PAUSE_S)
            lock = holding(folder, account, wait=False, store=store)
    else:
        raise LoginError("another process is renewing it and does not come to an end")
    try:
        yield
    finally:
        await asyncio.to_thread(lock.__exit__, None, None, None)
