"""Several processes that serve as one daemon: counted together, changed together, started again when they die."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import psutil
import pytest
from aiohttp import web

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.config import ConfigError, parse
from llm_mux.routing.breaker import PROVIDER
from llm_mux.server import supervisor
from llm_mux.server.address import Doors
from tests.daemon import ProcessDaemon, clean_environment, config_text, process_daemon
from tests.server.test_restart import CHAT, STREAM, command, ended_at_last, hammered, record
from tests.services import named

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")

MANY = 24
SOURCES = ("memory", "file")


@contextlib.asynccontextmanager
async def fresh() -> AsyncIterator[aiohttp.ClientSession]:
    """A client with a new connection for each request: the kernel gives each to some worker."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def ask(session: aiohttp.ClientSession, url: str, body: object = CHAT, **headers: str) -> tuple[int, str, bytes]:
    """Status, which process answered, and the answer."""
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        return answer.status, answer.headers.get("X-Request-ID", "")[:16], await answer.read()


async def ask_all_workers(session: aiohttp.ClientSession, url: str, count: int = 2) -> Counter[str]:
    """Asks until every worker has answered at least twice; how often each did."""
    seen: Counter[str] = Counter()
    async with asyncio.timeout(30):
        while len(seen) < count or min(seen.values()) < 2:
            status, worker, body = await ask(session, url)
            assert status == 200, body
            seen[worker] += 1
    return seen


def workers_of(mux: ProcessDaemon) -> list[psutil.Process]:
    return psutil.Process(mux.process.pid).children()


def key_for(home: pathlib.Path) -> dict[str, str]:
    """The header of a management key that is made now."""
    env = clean_environment(home)
    return {"X-Management-Key": create_management_key(open_store(env=env, data_dir=paths.data_dir(env)))}


async def until(holds: "asyncio.coroutines.Coroutine | object") -> None:
    """Asks `holds` until it is true."""
    async with asyncio.timeout(20):
        while not await holds():  # type: ignore[operator]
            await asyncio.sleep(0.05)


async def metric(session: aiohttp.ClientSession, url: str, line: str) -> float:
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    return sum(float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line))


async def test_every_worker_serves_and_any_of_them_tells_of_all(tmp_path: pathlib.Path) -> None:
    header = key_for(tmp_path)
    with process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:
            seen = await ask_all_workers(session, mux.url)
            total = sum(seen.values())
            assert len(workers_of(mux)) == 2
            for _ in range(6):
                assert await metric(session, mux.url, 'llm_requests_total{model="demo"') == total
            assert await metric(session, mux.url, "llm_mux_workers") == 2
            async with session.get(f"{mux.url}/metrics/running-totals") as answer:
                assert f"requests: {total}" in await answer.text()

            async def listed() -> bool:
                async with session.get(f"{mux.url}/v0/management/requests", headers=header) as answer:
                    assert answer.status == 200, await answer.text()
                    found = await answer.json()
                return len({line["request"] for line in found["requests"]}) == total

            await until(listed)
            async with session.get(f"{mux.url}/v0/management/logs?limit=2000", headers=header) as answer:
                logged = [r for r in (await answer.json())["records"] if r["event"] == "exchange.done"]
            assert len(logged) == total
            assert {r["request"][:16] for r in logged} == set(seen)


async def test_the_log_is_emptied_of_what_any_worker_said(tmp_path: pathlib.Path) -> None:
    header = key_for(tmp_path)
    with process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:

            async def logged(source: str) -> Counter[str]:
                query = {"limit": "2000", "source": source}
                async with session.get(f"{mux.url}/v0/management/logs", params=query, headers=header) as answer:
                    records = (await answer.json())["records"]
                return Counter(r["request"][:16] for r in records if r["event"] == "exchange.done")

            async def all_there() -> bool:
                return all([sum((await logged(source)).values()) >= sum(after.values()) for source in SOURCES])

            await ask_all_workers(session, mux.url)
            async with session.delete(f"{mux.url}/v0/management/logs", headers=header) as answer:
                assert answer.status == 200, await answer.text()
            after = await ask_all_workers(session, mux.url)
            await until(all_there)
            assert [await logged(source) for source in SOURCES] == [after, after]


async def test_the_live_view_shows_the_exchanges_of_all_workers(tmp_path: pathlib.Path) -> None:
    header = key_for(tmp_path)
    with process_daemon(tmp_path, {"capture": True}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:
            async with session.get(f"{mux.url}/v0/management/requests/live", headers=header) as live:
                assert (await live.content.readline()).strip() == b": live"
                seen = await ask_all_workers(session, mux.url)
                shown: list[str] = []
                async with asyncio.timeout(20):
                    while len(shown) < sum(seen.values()):
                        line = await live.content.readline()
                        if line.startswith(b"data: "):
                            told = json.loads(line[6:])
                            shown += [each["request"] for each in told if each["event"] == "exchange.done"]
            assert len(set(shown)) == len(shown)
            assert {id[:16] for id in shown} == set(seen)
            for id in shown:
                async with session.get(f"{mux.url}/v0/management/requests/{id}", headers=header) as answer:
                    assert "choices" in (await answer.json())["captured"]["answer"]


async def test_a_worker_that_is_killed_is_started_again_and_what_it_counted_stays(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:
            total = sum((await ask_all_workers(session, mux.url)).values())
            await until(lambda: _all_saved(mux, total))
            for worker in workers_of(mux):
                worker.kill()
                # What comes now waits in the queue of the one that died, or goes to the other.
                assert (await ask(session, mux.url))[0] == 200
                total += 1
                await until(partial(_two_serve, session, mux))
                await until(partial(_all_saved, mux, total))
                assert await metric(session, mux.url, 'llm_requests_total{model="demo"') == total
            again = await ask_all_workers(session, mux.url)
            assert len(again) == 2


async def _two_serve(session: aiohttp.ClientSession, mux: ProcessDaemon) -> bool:
    return await metric(session, mux.url, "llm_mux_workers") == 2


async def _all_saved(mux: ProcessDaemon, total: int) -> bool:
    """Whether the workers have left on disk what they counted."""
    folders = {
        pathlib.Path(c.laddr).parent
        for w in workers_of(mux)
        for c in w.net_connections("unix")
        if "llm-mux-" in c.laddr
    }
    found = 0
    for file in (file for folder in folders for file in folder.glob("*.counted")):
        found += sum(sum(tally[2].values()) for tally in json.loads(file.read_bytes())["tallies"])
    return found == total


async def test_workers_that_do_not_come_to_serve_end_the_daemon_which_says_so(tmp_path: pathlib.Path) -> None:
    key_for(tmp_path)
    (tmp_path / "config.yaml").write_text(config_text({"workers": 2}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm_mux", "--config", str(tmp_path / "config.yaml"), "serve", "--demo"),
        env=clean_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    while not (await process.stdout.readline()).startswith(b"listening on "):
        pass
    (tmp_path / "data" / "secrets.json.enc").write_bytes(b"damaged")
    for worker in psutil.Process(process.pid).children():
        worker.kill()
    said = (await asyncio.wait_for(process.stdout.read(), 240)).decode()
    assert await process.wait() == 1
    assert "ended 5 times in a row before it served (exit code 2)" in said
    assert "cannot be decrypted" in said
    assert paths.read_daemon(clean_environment(tmp_path)) is None


async def test_workers_that_are_killed_before_they_serve_do_not_end_the_daemon(tmp_path: pathlib.Path) -> None:
    """As on a machine that is short of memory, or so slow that the next kill comes before they are up."""
    with process_daemon(tmp_path, {"workers": 2}, "--demo") as mux:
        killed: set[int] = set()
        async with asyncio.timeout(120):
            while len(killed) < 2 * (supervisor.MOST_IN_A_ROW + 1):
                for worker in workers_of(mux):
                    if worker.pid not in killed:
                        worker.kill()
                        killed.add(worker.pid)
                await asyncio.sleep(0.01)
        async with fresh() as session:
            assert len(await ask_all_workers(session, mux.url)) == 2


async def test_while_a_worker_cannot_start_again_the_others_answer_all(tmp_path: pathlib.Path) -> None:
    """As when the configuration was spoiled, which those that run do not take up, and then one of them is killed."""
    with process_daemon(tmp_path, {"workers": 2}, "--demo") as mux:
        async with fresh() as session:
            await ask_all_workers(session, mux.url)
            good = (tmp_path / "config.yaml").read_text()
            (tmp_path / "config.yaml").write_text(good + "no-such-key: 1\n")
            workers_of(mux)[-1].kill()
            ended = '"event":"worker.ended","worker":1,"code":2'

            async def failed() -> bool:
                return sum(ended in line for line in mux.output) > supervisor.MOST_IN_A_ROW

            async with asyncio.timeout(120):
                while not await failed():
                    await asyncio.sleep(0.1)
            for _ in range(MANY):
                status, _, body = await asyncio.wait_for(ask(session, mux.url), 20)
                assert status == 200, body
            (tmp_path / "config.yaml").write_text(good)
            assert len(await ask_all_workers(session, mux.url)) == 2


async def test_a_new_configuration_is_in_effect_everywhere_when_it_was_taken(tmp_path: pathlib.Path) -> None:
    header = key_for(tmp_path)
    with process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:
            await ask_all_workers(session, mux.url)
            text = config_text({"aliases": {"mine": "demo"}})
            async with session.put(f"{mux.url}/v0/management/config.yaml", data=text, headers=header) as answer:
                assert answer.status == 200, await answer.text()
            for _ in range(MANY):
                status, _, body = await ask(session, mux.url, {**CHAT, "model": "mine"})
                assert status == 200, body
            (tmp_path / "config.yaml").write_text(config_text({"aliases": {"yours": "demo"}}))
            mux.process.send_signal(signal.SIGHUP)

            async def taken() -> bool:
                answers = [await ask(session, mux.url, {**CHAT, "model": "yours"}) for _ in range(8)]
                return all(status == 200 for status, _, _ in answers)

            await until(taken)


async def test_stopping_lets_the_streams_of_all_workers_end(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        async with fresh() as session:
            began: list[asyncio.Event] = [asyncio.Event() for _ in range(8)]

            async def stream(number: int) -> bytes:
                async with session.post(f"{mux.url}/v1/chat/completions", json=STREAM) as answer:
                    got = await answer.content.readany()
                    began[number].set()
                    return got + await answer.read()

            streams = [asyncio.create_task(stream(number)) for number in range(8)]
            await asyncio.gather(*(each.wait() for each in began))
            mux.process.terminate()
            assert all(each.endswith(b"data: [DONE]\n\n") for each in await asyncio.gather(*streams))
        assert await asyncio.to_thread(mux.process.wait, 20) == 0


async def test_a_second_signal_ends_all_workers_at_once(tmp_path: pathlib.Path) -> None:
    async with stuck_upstream() as upstream:
        config = {"providers": [provider(upstream)], "drain-timeout": 60}
        with contextlib.suppress(AssertionError), process_daemon(tmp_path, config, "--workers", "2") as mux:
            workers = workers_of(mux)
            async with fresh() as session:
                waiting = asyncio.create_task(ask(session, mux.url, {**CHAT, "model": "m"}))
                await asyncio.wait_for(upstream.reached.wait(), 20)
                mux.process.terminate()
                await until(lambda: _refused(mux.url))
                mux.process.terminate()
                assert await asyncio.to_thread(mux.process.wait, 10) == 128 + signal.SIGTERM
                _, alive = psutil.wait_procs(workers, 10)
                assert alive == []
                with contextlib.suppress(aiohttp.ClientError):
                    await waiting


async def _refused(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz"):
            return False
    except aiohttp.ClientError:
        return True


async def test_workers_whose_supervisor_is_killed_go_too(tmp_path: pathlib.Path) -> None:
    with contextlib.suppress(AssertionError), process_daemon(tmp_path, {}, "--demo", "--workers", "2") as mux:
        workers = workers_of(mux)
        mux.process.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 15)
        assert alive == []


def test_what_a_killed_supervisor_left_goes_at_the_next_start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, others = tmp_path / "llm-mux-left", tmp_path / "llm-mux-of-others"
    for folder in (left, others):
        folder.mkdir()
        (folder / "0.sock").touch()
    (left / "lock").touch()
    with supervisor._folder() as one:
        assert set(tmp_path.iterdir()) == {one, others}
        with supervisor._folder() as two:
            assert set(tmp_path.iterdir()) == {one, two, others}, "who lives keeps its own"
    assert set(tmp_path.iterdir()) == {others}


async def test_a_restart_under_load_hands_over_from_workers_to_workers(tmp_path: pathlib.Path) -> None:
    errors: list[str] = []
    done: Counter[str] = Counter()
    with process_daemon(tmp_path, {"workers": 2}, "--demo") as mux, ended_at_last(tmp_path):
        async with hammered(mux.url, errors, done):
            for workers in (3, 1):
                (tmp_path / "config.yaml").write_text(config_text({"workers": workers}))
                code, out, err = await command(tmp_path, "restart")
                assert (code, err) == (0, ""), out
                assert len(psutil.Process(record(tmp_path).pid).children()) == (workers if workers > 1 else 0)
            seen = dict(done)
            async with asyncio.timeout(30):
                while any(done[kind] < seen[kind] + 2 for kind in seen):
                    await asyncio.sleep(0.05)
        assert errors == []
        code, out, _ = await command(tmp_path, "status")
        assert (code, f"process {record(tmp_path).pid}" in out) == (0, True)


class Upstream:
    """Counts what reaches it; `behave` says what is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.reached = asyncio.Event()
        self.never = asyncio.Event()


@contextlib.asynccontextmanager
async def upstream_of(answer: "object") -> AsyncIterator[Upstream]:
    upstream = Upstream()

    async def handle(request: web.Request) -> web.StreamResponse:
        upstream.asked[request.headers.get("Authorization", "")] += 1
        upstream.reached.set()
        return await answer(upstream, request)  # type: ignore[operator,no-any-return]

    app = web.Application()
    app.router.add_post("/v1/{tail:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def stuck_upstream() -> "contextlib.AbstractAsyncContextManager[Upstream]":
    async def wait(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        await upstream.never.wait()
        raise web.HTTPGone

    return upstream_of(wait)


def provider(upstream: Upstream, **more: object) -> dict[str, object]:
    keys = [{"key": "key-a", "label": "a"}]
    return {
        "id": "up",
        "type": "openai-compatible",
        "base-url": upstream.url,
        "models": ["m"],
        "api-keys": keys,
        **more,
    }


def whole(id: str = "c") -> web.Response:
    message = {"role": "assistant", "content": "hi"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response(
        {"id": id, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


@pytest.mark.parametrize("redis", [False, True], ids=["over their own sockets", "over Redis"])
async def test_an_account_that_one_worker_found_resting_rests_for_all(tmp_path: pathlib.Path, redis: bool) -> None:
    """And ends to rest for all of them, when somebody ends it by hand."""
    header = key_for(tmp_path)
    url = f"{named('LLM_MUX_TEST_REDIS', 'Redis')}" if redis else None
    limited = True

    async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return (
            web.json_response({"error": {"message": "no"}}, status=429, headers={"Retry-After": "600"})
            if limited
            else whole()
        )

    async with upstream_of(answer) as upstream:
        keys = [{"key": f"key-{tmp_path.name}-{redis}", "label": tmp_path.name[-20:]}]
        config = {
            "providers": [provider(upstream, **{"api-keys": keys})],
            "request-retry": 0,
            "workers": 2,
            "redis-url": url,
        }
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session:
                assert (await ask(session, mux.url, {**CHAT, "model": "m"}))[0] == 429

                async def all_know() -> bool:
                    before = sum(upstream.asked.values())
                    for _ in range(MANY):
                        assert (await ask(session, mux.url, {**CHAT, "model": "m"}))[0] == 429
                    return sum(upstream.asked.values()) == before

                await until(all_know)
                assert sum(upstream.asked.values()) <= 3
                limited = False
                async with session.delete(f"{mux.url}/v0/management/cooldowns", headers=header) as answered:
                    assert (await answered.json())["cleared"] != []
                for _ in range(MANY):
                    assert (await ask(session, mux.url, {**CHAT, "model": "m"}))[0] == 200


@pytest.mark.parametrize("redis", [False, True], ids=["without Redis", "beside Redis"])
async def test_a_host_that_one_worker_could_not_reach_is_let_alone_by_all_of_the_machine(
    tmp_path: pathlib.Path, redis: bool
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        models = [f"m{number}" for number in range(200)]
        entry = {"type": "openai-compatible", "base-url": f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"}
        config = {
            "providers": [{**entry, "id": "up", "models": models, "api-keys": [f"key-{tmp_path.name}"]}],
            "request-retry": 0,
            "max-retry-interval": 0.1,
            "workers": 2,
            "redis-url": named("LLM_MUX_TEST_REDIS", "Redis") if redis else None,
        }
        attempts: Counter[str] = Counter()
        left = iter(models)

        async def tried(session: aiohttp.ClientSession) -> tuple[str, bool]:
            """Who answered, and whether the host was asked. Each model once: only the host's breaker can open."""
            body = {**CHAT, "model": next(left)}
            async with session.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                worker, count = answer.headers["X-Request-ID"][:16], int(answer.headers["x-llm-mux-attempts"])
                attempts[worker] += count
                return worker, count > 0

        with process_daemon(tmp_path, config) as mux:
            async with aiohttp.ClientSession() as kept, fresh() as session:
                while (found_out := await tried(kept))[1]:
                    pass
                while (heard := await tried(session))[0] == found_out[0] or heard[1]:
                    for _ in range(20):  # what the other was told needs a moment on its way
                        async with session.get(f"{mux.url}/healthz") as alive:
                            assert alive.status == 200
    assert attempts[heard[0]] < PROVIDER.in_a_row, "it did not have to find out by itself"


async def test_limits_are_exact_over_all_workers(tmp_path: pathlib.Path) -> None:
    config = {
        "api-keys": [f"key-{tmp_path.parent.name}-{tmp_path.name}-{os.getpid()}"],
        "rate-limits": {"requests-per-minute": 17, "when-redis-fails": "refuse"},
        "redis-url": named("LLM_MUX_TEST_REDIS", "Redis"),
        "workers": 2,
    }
    with process_daemon(tmp_path, config, "--demo") as mux:
        async with fresh() as session:
            bearer = {"Authorization": f"Bearer {config['api-keys'][0]}"}  # type: ignore[index]
            answers = await asyncio.gather(*(ask(session, mux.url, CHAT, **bearer) for _ in range(60)))
    assert Counter(status for status, _, _ in answers) == {200: 17, 429: 43}


def test_limits_without_redis_are_refused_with_several_workers() -> None:
    text = config_text({"workers": "auto", "rate-limits": {"requests-per-minute": 5}})
    with pytest.raises(
        ConfigError, match="rate-limits are counted in one process; with several workers they need redis"
    ):
        parse(text, None, {})
    assert parse(config_text({"workers": 1, "rate-limits": {"requests-per-minute": 5}}), None, {}).config.workers == 1
    assert parse(config_text({"workers": "auto"}), None, {}).config.workers == 0


async def test_a_key_with_limits_is_not_let_in_where_nobody_counts_them(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {"disable-auth": False, "workers": 2}, "--demo") as mux:
        code, out, err = await command(tmp_path, "keys", "create", "limited", "--requests-per-minute", "5")
        assert code == 0, err
        async with fresh() as session:
            status, _, body = await ask(session, mux.url, CHAT, Authorization=f"Bearer {out.strip()}")
        assert (status, b"set redis-url, or workers: 1" in body) == (503, True), body


async def test_what_an_account_takes_at_once_is_divided_among_workers(tmp_path: pathlib.Path) -> None:
    async with stuck_upstream() as upstream:
        config = {"providers": [provider(upstream, **{"max-concurrent": 3})], "workers": 4}
        (tmp_path / "config.yaml").write_text(config_text(config))
        code, _, err = await command(tmp_path, "serve")
        assert (code, "up/a takes 3 exchanges at once (max-concurrent), which 4 workers cannot divide" in err) == (
            2,
            True,
        )


async def test_a_response_is_found_by_whichever_worker_is_asked_next(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {"workers": 2}, "--demo") as mux:
        async with fresh() as session:
            previous: str | None = None
            for _ in range(8):
                body = {"model": "demo", "input": "on", "previous_response_id": previous}
                async with session.post(f"{mux.url}/v1/responses", json=body) as answer:
                    assert answer.status == 200, await answer.text()
                    previous = (await answer.json())["id"]


async def test_each_worker_has_a_queue_of_its_own_and_a_port_that_is_taken_is_said() -> None:
    doors = Doors()
    port, shares = await doors.divide("127.0.0.1", 0, 3)
    try:
        assert [len(share) for share in shares] == [1, 1, 1]
        assert len({share[0].fileno() for share in shares}) == (3 if sys.platform.startswith("linux") else 1)
        with pytest.raises(Exception, match=f"cannot listen on 127.0.0.1:{port}: ") as caught:
            await Doors().divide("127.0.0.1", port, 2)
        assert getattr(caught.value, "taken", False)
        inherited = {("127.0.0.1", 0): list(doors.open["127.0.0.1", 0])}
        _, dealt = await Doors(inherited).divide("127.0.0.1", 0, 2)
        assert sorted(len(share) for share in dealt) == [1, 2]
    finally:
        doors.close()


async def test_ready_fails_while_the_listener_still_takes_requests(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {"drain-delay": 2, "workers": 2}, "--demo") as mux:
        async with fresh() as session:

            async def ready() -> int:
                async with session.get(f"{mux.url}/ready") as answer:
                    return answer.status

            assert await ready() == 200
            mux.process.terminate()

            async def leaving() -> bool:
                return await ready() == 503

            await until(leaving)
            assert (await ask(session, mux.url))[0] == 200
        assert await asyncio.to_thread(mux.process.wait, 20) == 0
