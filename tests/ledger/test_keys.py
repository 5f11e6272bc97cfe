import asyncio
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from llm_mux.auth.client_keys import digest
from llm_mux.auth.scopes import Scopes
from llm_mux.config.schema import Limits
from llm_mux.ledger.database import Database
from llm_mux.ledger.keys import KeyProblem, KeyTable

NOW = 1_800_000_000.0


async def test_a_made_key_is_found_by_its_digest_alone(database: Database) -> None:
    table = KeyTable(database)
    scopes = Scopes(models=("gpt-*",), limits=Limits(requests_per_minute=5), daily_budget=Decimal("1.25"))
    made, secret = await table.create("laptop", now=NOW, user="alice", scopes=scopes, expires=NOW + 60)
    (found,), revision = await table.since(0)
    assert (found.key, found.digest, found.former, revision) == (made, digest(secret), None, 1)
    assert made.state(NOW) == "active"
    assert made.state(NOW + 60) == "expired"
    async with database.read() as connection:
        rows = str((await connection.execute(text("SELECT * FROM client_keys"))).all())
    assert secret not in rows
    assert secret.removeprefix("mux-")[4:-4] not in rows


async def test_only_what_changed_is_read_again(database: Database) -> None:
    table = KeyTable(database)
    await table.create("one", now=NOW)
    _, newest = await table.since(0)
    assert await table.since(newest) == ([], newest)
    two, _ = await table.create("two", now=NOW)
    changed, newest = await table.since(newest)
    assert [each.key.name for each in changed] == ["two"]
    await table.revoke(two.id, now=NOW + 1)
    changed, _ = await table.since(newest)
    assert [(each.key.name, each.key.revoked) for each in changed] == [("two", NOW + 1)]


async def test_a_rotated_key_stays_itself_and_its_former_secret_works_for_the_grace_it_was_given(
    database: Database,
) -> None:
    table = KeyTable(database)
    made, first = await table.create("ci", now=NOW, user="bob")
    rotated, second = await table.rotate("ci", now=NOW, grace_s=30)
    (found,), _ = await table.since(0)
    assert (rotated.id, rotated.user, rotated.former_until) == (made.id, "bob", NOW + 30)
    assert (found.digest, found.former) == (digest(second), digest(first))
    await table.rotate(made.id, now=NOW)
    (found,), _ = await table.since(0)
    assert (found.former, found.key.former_until) == (None, None)


async def test_a_revoked_name_is_free_again_and_a_live_one_is_not(database: Database) -> None:
    table = KeyTable(database)
    await table.create("a", now=NOW)
    with pytest.raises(KeyProblem, match="already"):
        await table.create("a", now=NOW)
    await table.revoke("a", now=NOW)
    with pytest.raises(KeyProblem, match="no key a"):
        await table.revoke("a", now=NOW)
    await table.create("a", now=NOW + 1)
    assert [key.state(NOW) for key in await table.listed()] == ["revoked", "active"]


async def test_scopes_and_end_of_a_key_can_be_changed(database: Database) -> None:
    table = KeyTable(database)
    made, _ = await table.create("a", now=NOW)
    changed = await table.change("a", lambda key: replace(key, scopes=Scopes(providers=("ollama",)), expires=NOW + 5))
    assert (await table.listed()) == [changed]
    assert (changed.id, changed.scopes.providers, changed.expires) == (made.id, ("ollama",), NOW + 5)


async def test_keys_made_at_once_get_revisions_of_their_own(database: Database) -> None:
    table = KeyTable(database)
    await asyncio.gather(*(table.create(f"k{number}", now=NOW) for number in range(20)))
    found, newest = await table.since(0)
    assert (len(found), newest) == (20, 20)


@pytest.mark.parametrize(
    ("name", "user", "scopes"),
    [
        ("", None, Scopes()),
        ("a\nb", None, Scopes()),
        ("x" * 300, None, Scopes()),
        ("a", "", Scopes()),
        ("a", "local", Scopes()),
        ("a", "key:other", Scopes()),
        ("a", None, Scopes(models=("",))),
        ("a", None, Scopes(daily_budget=Decimal(0))),
        ("a", None, Scopes(monthly_budget=Decimal("NaN"))),
        ("a", None, Scopes(monthly_budget=Decimal("1e7"))),
    ],
)
async def test_what_no_key_can_be_is_refused(database: Database, name: str, user: str | None, scopes: Scopes) -> None:
    table = KeyTable(database)
    with pytest.raises(KeyProblem):
        await table.create(name, now=NOW, user=user, scopes=scopes)
    assert await table.listed() == []


@pytest.mark.parametrize("named", ["' OR 1=1 --", "key_%", '"; DROP TABLE client_keys; --'])
async def test_sql_in_a_name_names_nothing(database: Database, named: str) -> None:
    table = KeyTable(database)
    await table.create("real", now=NOW)
    with pytest.raises(KeyProblem):
        await table.revoke(named, now=NOW)
    await table.create(named, now=NOW + 1)
    await table.revoke(named, now=NOW + 1)
    assert [key.state(NOW) for key in await table.listed()] == ["active", "revoked"]
