"""The lean client: a call takes a kept connection or dials one, writes one piece, and waits once for the head.

Rule: a request is sent twice only when a kept connection died before a byte of the answer, and then over a new one.
What it does not speak (proxies that are themselves reached over TLS) goes to the reference client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from yarl import URL

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.connection import Connection, Limits, Stale
from llm_mux.gateway.http.dial import Dialler
from llm_mux.gateway.http.head import Target, basic, request_head, target_of
from llm_mux.gateway.http.pool import Pool
from llm_mux.gateway.http.proxies import Proxies
from llm_mux.gateway.http.reply import LeanReply
from llm_mux.gateway.upstream import Begun, Call, Receiver, Reply, Upstream

_MOST_WAYS = 1024
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class _Way:
    """How calls of one URL by one account go: the pool, and the head they share."""

    __slots__ = ("_head", "_headers", "_method", "line", "more", "pool", "proxy", "target")

    def __init__(self, target: Target, proxy: str | None, pool: Pool) -> None:
        self.target = target
        self.proxy = proxy
        self.pool = pool
        self.line = target.path
        self.more: dict[str, str] = {}
        if proxy is not None and not target.secure and not proxy.startswith("socks"):
            self.line = f"http://{target.authority}{target.path}"
            if (credentials := basic(URL(proxy, encoded=True))) is not None:
                self.more["Proxy-Authorization"] = credentials
        self._method = ""
        self._headers: Mapping[str, str] = {}
        self._head = b""

    def head(self, call: Call) -> bytes:
        """The request's head; all but its length is that of the last call when the headers are."""
        if call.headers != self._headers or call.method != self._method:
            self._head = request_head(call.method, self.line, self.target, call.headers, self.more)
            self._headers, self._method = dict(call.headers), call.method
        if call.body is None and call.method in _BODILESS:
            return self._head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n" % (self._head, len(call.body or b""))


class _Begun(Begun):
    """A call under way, or for which a connection is dialled, and what the connection tells of it (its `Waiter`)."""

    __slots__ = ("_call", "_client", "_connection", "_dialling", "_receiver", "_result", "_waiter", "_way")

    def __init__(self, client: LeanUpstream, way: _Way, call: Call, connection: Connection | None) -> None:
        self._client = client
        self._way = way
        self._call = call
        self._connection = connection
        self._dialling: asyncio.Task[None] | None = None
        self._receiver: Receiver | None = None
        self._result: LeanReply | Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def dial(self) -> None:
        """Sends the call as soon as there is a connection."""
        self._dialling = asyncio.get_running_loop().create_task(self._sent())

    async def _sent(self) -> None:
        try:
            self._connection = await self._client.dialled_for(self._way, self._call)
        except Exception as error:
            # Also what nobody expects: it comes up again in the task that asks for the reply, and is logged there.
            self.set_exception(error)
        else:
            self._connection.begin(self._call, self._way.head(self._call), self)
        finally:
            self._dialling = None

    def tell(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def done(self) -> bool:
        return self._result is not None

    def set_result(self, reply: LeanReply, /) -> None:
        self._result = reply
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.answered(reply)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def set_exception(self, error: Exception, /) -> None:
        self._result = error
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.answered(None)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def reply(self) -> Reply:
        self._receiver = None
        if self._result is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except BaseException:
                self.drop()
                raise
        result = self._result
        if isinstance(result, LeanReply):
            return result
        if isinstance(result, Stale):
            return await self._client.again(self._way, self._call)
        assert result is not None
        raise result

    def drop(self) -> None:
        self._receiver = None
        result = self._result
        if self._dialling is not None:
            self._dialling.cancel()
        elif result is None and self._connection is not None:
            self._connection.drop()
        elif isinstance(result, LeanReply):
            result.close()


class LeanUpstream(Upstream):
    """Keeps a pool for each host (and proxy on the way to it)."""

    def __init__(self, *, environment_proxies: bool = True, limits: Limits | None = None) -> None:
        self._proxies = Proxies(environment=environment_proxies)
        self._limits = limits or Limits()
        self._dialler = Dialler(self._limits)
        self._pools: dict[tuple[bool, str, int, str | None], Pool] = {}
        self._ways: dict[tuple[str, str | None, str], _Way] = {}
        self._reference: Upstream | None = None

    async def send(self, call: Call) -> Reply:
        way = self._ways.get((call.url, call.proxy, call.place))
        if way is None:
            way = self._way(call)
            if way is None:
                return await self._by_reference(call)
        self.asked += 1
        try:
            head = way.head(call)
        except ValueError as error:
            raise _unaskable(call) from error
        connection = way.pool.take()
        if connection is None:
            connection = await self._opened(way, call)
        try:
            return await connection.ask(call, head)
        except Stale:
            return await self.again(way, call)
        except MuxError:
            raise
        except BaseException:
            connection.drop()
            raise

    def begin(self, call: Call, receiver: Receiver) -> Begun | None:
        way = self._ways.get((call.url, call.proxy, call.place))
        if way is None:
            return None
        try:
            head = way.head(call)
        except ValueError:
            return None
        connection = way.pool.take()
        if connection is None and way.pool.full:
            return None
        begun = _Begun(self, way, call, connection)
        if connection is None:
            begun.dial()
        else:
            connection.begin(call, head, begun)
            if begun.done():
                return None
        self.asked += 1
        begun.tell(receiver)
        return begun

    async def again(self, way: _Way, call: Call) -> Reply:
        """Over a new connection, after a kept one died before a byte of the answer."""
        head = way.head(call)
        connection = await self.dialled_for(way, call)
        try:
            return await connection.ask(call, head)
        except (MuxError, Stale):
            raise
        except BaseException:
            connection.drop()
            raise

    def _way(self, call: Call) -> _Way | None:
        """None for what only the reference client speaks. Raises MuxError for what nobody can ask."""
        proxy = self._proxies.of(call)
        if proxy is not None and proxy.startswith("https:"):
            return None
        try:
            target = target_of(call.url)
            key = (target.secure, target.host, target.port, proxy)
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = Pool(self._limits.most)
            way = _Way(target, proxy, pool)
        except ValueError as error:
            raise _unaskable(call) from error
        if len(self._ways) >= _MOST_WAYS:
            self._ways.clear()
        self._ways[call.url, call.proxy, call.place] = way
        return way

    async def _opened(self, way: _Way, call: Call) -> Connection:
        """A connection where none was idle: a new one, or the next that is free where there may be no more."""
        if not way.pool.full:
            return await self.dialled_for(way, call)
        try:
            async with asyncio.timeout(call.timeouts.connect):
                connection = await way.pool.turn()
        except TimeoutError:
            message = f"{call.place} could not be asked in time: all its connections are in use."
            raise MuxError(Kind.CONNECT_TIMEOUT, message) from None
        return connection if connection is not None and connection.fit() else await self.dialled_for(way, call)

    async def dialled_for(self, way: _Way, call: Call) -> Connection:
        """A new connection. Raises MuxError."""
        pool = way.pool
        pool.dialling += 1
        try:
            connection = await self._dialler.dial(way.target, way.proxy, call, pool.let_go)
            self.dialled += 1
            pool.add(connection)
        except ValueError as error:
            raise _unaskable(call) from error
        finally:
            pool.dialling -= 1
            pool.room()
        return connection

    async def _by_reference(self, call: Call) -> Reply:
        if self._reference is None:
            from llm_mux.gateway.http.session import SessionUpstream

            self._reference = SessionUpstream()
        return await self._reference.send(call)

    async def prepare(self) -> None:
        await self._dialler.prepare()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()
        if self._reference is not None:
            await self._reference.close()


def _unaskable(call: Call) -> MuxError:
    what = "cannot be asked: its base-url, proxy-url or headers are not valid"
    return MuxError(Kind.UNREACHABLE, f"{call.place} {what}.")
