"""The ladder of an exchange: target after target, fallback after fallback, round after round, while the client has seen
nothing of an answer.

Rules. A distinct target costs nothing but its own time; asking the same ones again comes out of the retry budget and
never on top of a client's own retries. A wait is never longer than the configuration allows, and ends before the moment
at which a client could no longer be told a status. A client's own mistake ends the ladder and punishes nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.drain import told
from llm_mux.routing.retry import Patience, Round, pause
from llm_mux.routing.select import FEW, Candidate, busy
from llm_mux.routing.standing import UNREACHED, Host, host_of

if TYPE_CHECKING:
    from llm_mux.gateway.outcome import Outcome

T = TypeVar("T")
_OWN_RETRY = "x-stainless-retry-count"
_SAYS_LITTLE = frozenset(
    {
        Kind.UPSTREAM_AUTH,
        Kind.UPSTREAM_FORBIDDEN,
        Kind.UPSTREAM_MODEL,
        Kind.LOGIN_NEEDED,
        Kind.NO_TARGET,
        Kind.MODEL_NOT_FOUND,
    }
)
_WAIT_TOLD = frozenset({Kind.RATE_LIMIT, Kind.QUOTA, Kind.OVERLOADED})
_UNFORMED = "unsupported_by_target"
_ELSEWHERE = frozenset({Kind.NO_TARGET, Kind.MODEL_NOT_FOUND})


class Ladder(Generic[T]):
    """One climb. `attempt` asks one target; `discard` closes an answer that came second."""

    def __init__(
        self,
        gateway: Gateway,
        ask: Ask,
        out: Outcome,
        attempt: Callable[[Candidate], Awaitable[T]],
        discard: Callable[[T], None] = lambda answer: None,
    ) -> None:
        self._gateway = gateway
        self._ask = ask
        self._out = out
        self._attempt = attempt
        self._discard = discard
        self._error: MuxError | None = None
        self._unreached: set[Host] = set()
        self._asked: set[tuple[int, str]] = set()
        self._too_small = 0
        self._again = False

    async def climb(self) -> T:
        """The first answer that is one; its account counts as busy until `Outcome.release`. Raises MuxError: the most
        useful of the failures, or at once the client's own."""
        self._gateway.standing.budget.earn()
        try:
            answer = await self._round()
            return await self._rounds() if answer is None else answer
        except asyncio.CancelledError:
            if self._gateway.drain.over:
                raise told() from None
            raise

    async def _rounds(self) -> T:
        """What follows a round that came to nothing."""
        gateway, out = self._gateway, self._out
        before, number, waited, ticket = 0, 0, 0.0, 0
        while True:
            tried = out.attempts - before
            ahead = await gateway.outlook(gateway.chain(self._ask.model), self._ask)
            came = Round(tried, self._failure(), ahead.ready_in, self._again)
            wait = pause(came, self._patience(number, waited), number, random.random())  # noqa: S311  # jitter
            if wait is None or (tried and not gateway.standing.budget.take(time.monotonic())):
                raise self._told(came)
            began, ticket = time.monotonic(), ticket or gateway.waiting.ticket()
            await gateway.waiting.wait(wait, ticket, ahead.rooms)
            waited += time.monotonic() - began
            number += 1 if tried else 0
            before = out.attempts
            if (answer := await self._round()) is not None:
                return answer

    async def _round(self) -> T | None:
        """Every target once, then every fallback's."""
        gateway = self._gateway
        self._unreached.clear()
        self._asked.clear()
        self._again = False
        names: tuple[str, ...] = (self._ask.model,)
        at = 0
        while at < len(names):
            try:
                candidates = gateway.lone(names[at], self._ask) or await self._targets(names[at], few=True)
            except MuxError as error:
                if at == 0:
                    self._unanswered(error)
                candidates = []
            answer = await self._each(candidates)
            if answer is None and len(candidates) == FEW:
                with contextlib.suppress(MuxError):
                    candidates = await self._targets(names[at], few=False)
                answer = await self._each(candidates)
            if answer is not None:
                return answer
            if at == 0:
                names = gateway.chain(names[0])
            at += 1
        return None

    async def _targets(self, name: str, *, few: bool) -> list[Candidate]:
        return await self._gateway.targets(name, self._ask, few=few)

    def _unanswered(self, error: MuxError) -> None:
        """Nobody can be asked for the model itself. Raises what no fallback may get around."""
        if error.kind is Kind.FORBIDDEN:
            raise error
        self._note(error)

    async def _each(self, candidates: list[Candidate]) -> T | None:
        """One after the other; with hedging two of a stream's may be asked at the same time."""
        hedge_after = self._gateway.settings.hedge_after if self._ask.stream else None
        for number, candidate in enumerate(candidates):
            if self._error is not None and not self._worth_asking(candidate):
                continue
            try:
                if hedge_after is not None and number + 1 < len(candidates):
                    winner, answer = await self._hedged(candidate, candidates[number + 1 :], hedge_after)
                else:
                    winner, answer = candidate, await self._step(candidate)
                self._out.holds(self._gateway, winner.account)
                return answer
            except MuxError as error:
                self._passed(candidate, error)
        return None

    async def _step(self, candidate: Candidate) -> T:
        """One target. Its account is busy from now on; on failure no more."""
        gateway, account, model = self._gateway, candidate.account, candidate.route.model
        if account.full:
            # A second target beside a first one begins a moment after it was chosen.
            raise busy(model)
        self._out.attempts += 1
        self._asked.add((id(account), model))
        began = time.monotonic()
        account.enter(model, began)
        try:
            answer = await self._attempt(candidate)
        except BaseException as error:
            gateway.release(account)
            if isinstance(error, MuxError):
                gateway.blame(account, model, error)
                self._out.failed(account, model, error, time.monotonic() - began)
                if self._ask.watch is not None:
                    self._ask.watch.failed(account.name, model, error, time.monotonic() - began)
            raise
        gateway.praise(account, model, began)
        return answer

    def _passed(self, candidate: Candidate, error: MuxError) -> None:
        """Takes note of a target's failure. Raises it when no other target can do better."""
        if error.kind is Kind.CONTEXT_LENGTH:
            self._too_small = max(self._too_small, self._context(candidate) or len(self._ask.body) // 8)
        elif not (error.policy.try_next or error.kind in _ELSEWHERE or error.code == _UNFORMED):
            raise error
        self._again = self._again or error.policy.retry_same
        if error.kind in UNREACHED:
            self._unreached.add(host_of(candidate.account))
        self._note(error)

    def _context(self, candidate: Candidate) -> int | None:
        return self._gateway.choice.context(candidate.account.provider.name, candidate.route.model)

    def _note(self, error: MuxError) -> None:
        """Keeps the failure that tells the client most."""
        kept = self._error
        if (
            kept is None
            or kept.kind in _SAYS_LITTLE
            or (error.kind not in _SAYS_LITTLE and kept.kind is not Kind.CONTEXT_LENGTH)
        ):
            self._error = error

    def _worth_asking(self, candidate: Candidate) -> bool:
        """What was learned since the targets were put in order: others' failures, and this exchange's own."""
        account = candidate.account
        if (id(account), candidate.route.model) in self._asked:
            return False
        if account.full or account.ready_at(candidate.route.model, time.monotonic()):
            return False
        if self._too_small and (self._context(candidate) or 0) <= self._too_small:
            return False
        return host_of(account) not in self._unreached

    def _failure(self) -> MuxError:
        return self._error or MuxError(Kind.NO_TARGET, "No account can be asked.")

    def _patience(self, number: int, waited: float) -> Patience:
        settings = self._gateway.settings
        own = self._ask.headers.get(_OWN_RETRY, "0") != "0"
        rounds = 0 if own else settings.request_retry - number
        status_in = None
        if self._ask.stream and self._ask.begin is not None:
            left = settings.patience_s - (time.monotonic() - self._ask.started)
            status_in = left if left > 0 else None
        return Patience(rounds, settings.max_retry_interval - waited, status_in)

    def _told(self, came: Round) -> MuxError:
        """The failure for the client, with when to come back where it is a matter of time."""
        error = came.error
        if error.retry_after is None and error.kind in _WAIT_TOLD and came.ready_in:
            return replace(error, retry_after=came.ready_in)
        return error

    async def _hedged(self, first: Candidate, others: list[Candidate], after: float) -> tuple[Candidate, T]:
        """The first target, and from `after` seconds on a second one beside it; the one that begins first counts."""
        running: dict[asyncio.Future[T], Candidate] = {asyncio.ensure_future(self._step(first)): first}
        try:
            done, _ = await asyncio.wait(running, timeout=after)
            if not done:
                second = next((each for each in others if self._worth_asking(each)), None)
                if second is not None:
                    running[asyncio.ensure_future(self._step(second))] = second
            winner = await self._first_of(running)
            return running.pop(winner), winner.result()
        finally:
            await self._ended(running)

    async def _first_of(self, running: Mapping[asyncio.Future[T], Candidate]) -> asyncio.Future[T]:
        """The first that has an answer, or the last to fail; the failures of the others are taken note of."""
        left = set(running)
        while True:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None or not (left or len(done) > 1):
                    return task
                if not isinstance(error, MuxError):
                    raise error
                self._passed(running[task], error)
            if not left:
                return done.pop()

    async def _ended(self, running: Mapping[asyncio.Future[T], Candidate]) -> None:
        """Whoever still runs is cancelled; an answer that came all the same is closed."""
        for task, candidate in running.items():
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                self._discard(task.result())
                self._gateway.release(candidate.account)
