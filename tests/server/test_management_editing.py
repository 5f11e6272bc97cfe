"""The configuration edited from a page: tried before it is saved, changed in part, taken back version by version."""

import asyncio
import errno
import pathlib
from typing import Any

import pytest
import yaml

from tests.server.management import Managed, managed

TEXT = """\
# how I use it
host: 127.0.0.1
port: 0
discover: false
api-keys: [planted-client-key-5647382910]  # mine
aliases:
  fast: demo  # for quick questions
fallbacks: {}
"""
ROUTES = {"aliases": {"fast": "demo", "slow": "demo://demo"}, "fallbacks": {"demo": ["gone", "away"]}}


def yaml_body(text: str) -> dict[str, Any]:
    return {"data": text.encode(), "headers": {"Content-Type": "application/yaml"}}


def written(mux: Managed) -> str:
    return mux.file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("port: 0\nstrict: perhaps\n", 2, 9, "strict"),
        ("port: 0\nstrcit: true\n", 2, 1, "strict"),
        ("port: 0\nproviders: [\n", 3, 1, ""),
        ("port: 0\naliases: {a: b, b: a}\n", 2, 14, "circle"),
        ('port: 0\napi-keys: ["***0123456789ab"]\n', 2, 12, "secret"),
    ],
)
async def test_a_text_is_tried_with_its_problems_by_line_and_nothing_changes(
    tmp_path: pathlib.Path, text: str, line: int, column: int, said: str
) -> None:
    async with managed(tmp_path, TEXT) as mux:
        before = await mux.ask("GET", "/config")
        found = await mux.ask("POST", "/config.yaml/check", **yaml_body(text))
        assert (found["problems"][0]["line"], found["problems"][0]["column"]) == (line, column), found
        assert said in found["problems"][0]["message"]
        assert await mux.ask("GET", "/config") == before
        assert written(mux) == TEXT


async def test_a_good_text_is_told_to_be_one_also_with_its_marks(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        async with mux.client.get("/v0/management/config.yaml") as answer:
            shown = await answer.text()
        assert "planted" not in shown
        found = await mux.ask("POST", "/config.yaml/check", **yaml_body(shown + "capture: true\n"))
        assert found["problems"] == []
        found = await mux.ask("POST", "/config.yaml/check", **yaml_body(shown.replace("port: 0", "port: 1")))
        assert found["needs_restart"] == ["port"]
        assert written(mux) == TEXT


async def test_who_edits_an_old_text_is_told_before_something_is_lost(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        async with mux.client.get("/v0/management/config.yaml") as answer:
            shown, tag = await answer.text(), answer.headers["ETag"]
        await mux.ask("PUT", "/config.yaml", **yaml_body(shown + "strict: true\n"))
        late = yaml_body(shown + "strict: false\n")
        late["headers"]["If-Match"] = tag
        error = await mux.ask("PUT", "/config.yaml", status=409, **late)
        assert error["error"]["code"] == "config_changed"
        assert written(mux) == TEXT + "strict: true\n"


async def test_aliases_and_fallbacks_change_in_the_file_and_its_comments_stay(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        state = await mux.ask("PUT", "/routes", json=ROUTES)
        assert state["error"] is None
        assert written(mux) == TEXT.replace("questions\n", "questions\n  slow: demo://demo\n").replace(
            "fallbacks: {}\n", "fallbacks:\n  demo: [gone, away]\n"
        )
        told = await mux.ask("GET", "/aliases")
        assert {each["name"] for each in told["aliases"]} == {"fast", "slow"}
        assert told["fallbacks"] == ROUTES["fallbacks"]
        await mux.ask("PUT", "/routes", json={"fallbacks": {}})
        assert yaml.safe_load(written(mux))["aliases"] == ROUTES["aliases"], "what is not given stays"
        await mux.ask("POST", "/config.yaml/restore?version=2")
        assert written(mux) == TEXT


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"aliases": {"a": "b", "b": "a"}}, "circle"),
        ({"fallbacks": {"demo": []}}, "fallbacks"),
        ({"fallbacks": {"demo": "gone"}}, "fallbacks"),
        ({"fallbacks": {"fast": ["demo"]}}, "fast"),
        ({"aliases": {"": "demo"}}, "aliases"),
        ({"aliasses": {}}, "unknown field"),
    ],
)
async def test_a_route_that_cannot_be_is_named_and_nothing_changes(
    tmp_path: pathlib.Path, wish: dict[str, Any], said: str
) -> None:
    async with managed(tmp_path, TEXT) as mux:
        error = await mux.ask("PUT", "/routes", status=400, json=wish)
        assert said in error["error"]["message"]
        assert written(mux) == TEXT


async def test_a_file_that_cannot_be_changed_in_part_is_left_to_a_person(tmp_path: pathlib.Path) -> None:
    text = TEXT.replace("aliases:\n  fast: demo", "aliases: &mine\n  fast: demo")
    async with managed(tmp_path, text) as mux:
        error = await mux.ask("PUT", "/routes", status=409, json=ROUTES)
        assert error["error"]["code"] == "config_not_editable"
        assert written(mux) == text


async def test_the_last_five_versions_are_listed_shown_without_secrets_and_put_back(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        assert await mux.ask("GET", "/config.yaml/versions") == {"versions": []}
        await mux.ask("GET", "/config.yaml/previous", status=404)
        for number in range(7):
            await mux.ask("PUT", "/config.yaml", **yaml_body(TEXT + f"# {number}\n"))
        await mux.ask("PUT", "/config.yaml", **yaml_body(TEXT + "# 6\n"))
        listed = (await mux.ask("GET", "/config.yaml/versions"))["versions"]
        assert [each["version"] for each in listed] == [1, 2, 3, 4, 5], "the same again is no version"
        for version in (1, 5):
            async with mux.client.get(f"/v0/management/config.yaml/previous?version={version}") as answer:
                shown = await answer.text()
                assert answer.status == 200
            assert shown.endswith(f"# {6 - version}\n")
            assert "planted" not in shown
        await mux.ask("POST", "/config.yaml/restore?version=5")
        assert written(mux) == TEXT + "# 1\n"
        for file in tmp_path.glob("config.yaml*"):
            assert file.stat().st_mode & 0o077 == 0 or file.name == "config.yaml", file


async def test_a_secret_that_only_an_earlier_version_had_is_not_shown_either(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        await mux.ask("PUT", "/config.yaml", **yaml_body("host: 127.0.0.1\nport: 0\ndiscover: false\n"))
        async with mux.client.get("/v0/management/config.yaml/previous") as answer:
            shown = await answer.text()
        assert "planted" not in shown
        assert '"***' in shown


async def test_of_two_who_edit_the_same_text_at_once_one_is_told_and_neither_text_is_lost(
    tmp_path: pathlib.Path,
) -> None:
    async with managed(tmp_path, TEXT) as mux:
        async with mux.client.get("/v0/management/config.yaml") as answer:
            shown, tag = await answer.text(), answer.headers["ETag"]

        async def save(number: int, **headers: str) -> int:
            body = yaml_body(shown + f"# {number}\n")
            body["headers"] |= headers
            async with mux.client.put("/v0/management/config.yaml", **body) as answer:
                return answer.status

        told = await asyncio.gather(*(save(number, **{"If-Match": tag}) for number in range(6)))
        assert sorted(told) == [200] + [409] * 5
        assert set(await asyncio.gather(*(save(number) for number in range(10, 13)))) == {200}
        kept = {written(mux), *(file.read_text(encoding="utf-8") for file in tmp_path.glob("config.yaml.previous*"))}
        assert kept == {TEXT, *(TEXT + f"# {number}\n" for number in (told.index(200), 10, 11, 12))}


async def test_aliases_and_fallbacks_that_are_saved_at_once_are_both_there(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        await asyncio.gather(*(mux.ask("PUT", "/routes", json={name: ROUTES[name]}) for name in ROUTES))
        found = yaml.safe_load(written(mux))
        assert {name: found[name] for name in ROUTES} == ROUTES


@pytest.mark.parametrize("by_hand", [TEXT + "strcit: true\n", TEXT + "# caf\udce9\n"], ids=["wrong", "not UTF-8"])
async def test_what_somebody_wrote_by_hand_is_kept_though_it_never_was_in_effect(
    tmp_path: pathlib.Path, by_hand: str
) -> None:
    async with managed(tmp_path, TEXT) as mux:
        mux.file.write_bytes(by_hand.encode(errors="surrogateescape"))
        await mux.ask("PUT", "/config.yaml", **yaml_body(TEXT + "strict: true\n"))
        assert written(mux) == TEXT + "strict: true\n"
        assert (tmp_path / "config.yaml.previous").read_bytes() == by_hand.encode(errors="surrogateescape")
        for method, path in (("GET", "/config.yaml/previous"), ("POST", "/config.yaml/restore")):
            async with mux.client.request(method, f"/v0/management{path}") as answer:
                assert answer.status in (400, 409)
                assert (await answer.json())["error"]["code"] == "invalid_config"
        assert written(mux) == TEXT + "strict: true\n"


async def test_a_file_that_is_mounted_by_itself_is_written_where_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel says to whoever replaces a mount point; mounting takes root."""
    replace = pathlib.Path.replace

    def refused(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if target.name == "config.yaml":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return replace(self, target)

    async with managed(tmp_path, TEXT) as mux:
        inode = mux.file.stat().st_ino
        monkeypatch.setattr(pathlib.Path, "replace", refused)
        await mux.ask("PUT", "/config.yaml", **yaml_body(TEXT + "strict: true\n"))
        assert (written(mux), mux.file.stat().st_ino) == (TEXT + "strict: true\n", inode)
        assert (tmp_path / "config.yaml.previous").read_text(encoding="utf-8") == TEXT
        assert not list(tmp_path.glob(".config.yaml*"))
