import asyncio
import contextlib
import gc
import pathlib
import sqlite3
import time
import timeit
import tracemalloc

from llm_mux.ledger.database import Database
from llm_mux.ledger.key_book import FRESH_S, KeyBook
from llm_mux.ledger.keys import KeyTable

LOOKUP_US = 20


async def wave(book: KeyBook, number: int) -> int:
    """A thousand wrong guesses at once; how many were refused."""
    found = await asyncio.gather(*(book.find(f"mux-{number}-{n}", time.time()) for n in range(1_000)))
    return found.count(None)


async def test_ten_thousand_guesses_learn_nothing_hold_up_nobody_and_leave_nothing_behind(database: Database) -> None:
    book = KeyBook(KeyTable(database))
    _, secret = await book.table.create("real", now=time.time())
    assert await book.find(secret, time.time()) is not None
    await wave(book, 0)
    gc.collect()
    tracemalloc.start(25)
    asked, started = book.questions, time.monotonic()
    for number in range(1, 11):
        guesses = asyncio.create_task(wave(book, number))
        await asyncio.sleep(0)
        assert book.known(secret, time.time()) is not None
        assert await guesses == 1_000
    seconds = time.monotonic() - started
    del guesses
    # The database's thread holds what it was asked last until it is asked again.
    assert await book.find("mux-last", time.time()) is None
    gc.collect()
    # What other threads of the process do meanwhile is not the book's.
    of_the_book = tracemalloc.Filter(True, "*/ledger/key*.py", all_frames=True)
    kept = tracemalloc.take_snapshot().filter_traces([of_the_book])
    tracemalloc.stop()
    grown = sum(trace.size for trace in kept.traces)
    assert len(book) == 1
    assert grown < 100_000, f"{grown} bytes are still there after 10,000 guesses"
    assert book.questions - asked <= 2 + seconds * 10


async def test_what_is_known_is_never_older_than_a_second(database: Database) -> None:
    now = [100.0]
    book = KeyBook(KeyTable(database), clock=lambda: now[0])
    made, secret = await book.table.create("laptop", now=time.time())
    assert await book.find(secret, time.time()) is not None
    await book.table.revoke(made.id, now=time.time())
    now[0] += FRESH_S
    assert await book.find(secret, time.time()) is not None, "nothing was asked while it is fresh"
    now[0] += 0.001
    assert await book.find(secret, time.time()) is None
    assert book.questions == 2


async def test_the_first_key_waits_for_a_database_that_takes_its_time_to_open(sqlite: Database) -> None:
    _, secret = await KeyTable(sqlite).create("laptop", now=time.time())
    file = pathlib.Path(sqlite.description.removeprefix("SQLite at "))
    slow = Database(file, busy_s=20)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        book = KeyBook(KeyTable(slow), patience_s=0.01)
        asked = asyncio.create_task(book.find(secret, time.time()))
        assert (await asyncio.wait((asked,), timeout=0.2))[1], "it is not refused for want of an answer"
        other.execute("ROLLBACK")
    assert (await asked) is not None
    assert book.error is None
    await slow.close()


async def test_while_keys_are_looked_up_their_changes_come_by_themselves(database: Database) -> None:
    book = KeyBook(KeyTable(database))
    made, secret = await book.table.create("laptop", now=time.time())
    keeping_up = asyncio.create_task(book.run())
    assert await book.find(secret, time.time()) is not None
    await book.table.revoke(made.id, now=time.time())
    async with asyncio.timeout(20):
        while book.known(secret, time.time()) is not None:
            await asyncio.sleep(0.01)
    keeping_up.cancel()


async def test_a_key_is_looked_up_in_microseconds_however_many_there_are(sqlite: Database) -> None:
    book = KeyBook(KeyTable(sqlite))
    secrets = [(await book.table.create(f"k{n}", now=0.0))[1] for n in range(300)]
    now = time.time()
    assert await book.find(secrets[0], now) is not None

    def cost(secret: str) -> float:
        return min(timeit.repeat(lambda: book.known(secret, now), number=1000, repeat=7)) * 1000

    figures = {
        name: cost(secret) for name, secret in (("first", secrets[0]), ("last", secrets[-1]), ("wrong", "mux-x"))
    }
    print({name: f"{microseconds:.1f} us" for name, microseconds in figures.items()})
    assert max(figures.values()) < LOOKUP_US
