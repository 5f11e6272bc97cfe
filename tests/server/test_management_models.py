"""The models that a page lists: what they can do, what they cost for a million tokens, and who has them."""

import pathlib

import yaml

from tests.server.management import managed

CONFIG = {
    "port": 0,
    "discover": False,
    "providers": [
        {"id": "one", "type": "openai-compatible", "base-url": "http://127.0.0.1:1/v1", "api-keys": [{"key": "k1"}, {"key": "k2"}],
         "models": ["shared", "own"]},
        {"id": "two", "type": "openai-compatible", "base-url": "http://127.0.0.1:1/v1", "api-key": "k3", "models": ["shared"]},
    ],
    "prices": [{"model": "one/shared", "input": 2.5, "output": 10, "cache-read": 0.25}],
}  # fmt: skip


async def test_a_model_says_what_it_costs_and_which_accounts_have_it(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home", yaml.safe_dump(CONFIG)) as mux:
        models = {each["name"]: each for each in (await mux.ask("GET", "/models"))["models"]}
        price = models["shared"]["price"]
        assert price["source"] == "config"
        assert (price["input"], price["output"], price["cache_read"], price["cache_write"]) == (
            "2.5",
            "10",
            "0.25",
            None,
        )
        assert models["own"]["price"] is None
        assert {name.partition("/")[0] for name in models["shared"]["accounts"]} == {"one", "two"}
        assert len(models["shared"]["accounts"]) == 3
        assert [name.partition("/")[0] for name in models["own"]["accounts"]] == ["one", "one"]
        assert isinstance(models["demo"]["capabilities"], list)


async def test_usage_is_parted_by_day_and_model(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        chat = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        async with mux.bare.post("/v1/chat/completions", json=chat) as answer:
            assert answer.status == 200
        for then_by, name in (("model", "demo"), ("key", ""), ("account", "demo/demo")):
            told = await mux.ask("GET", f"/usage?days=1&group_by=day&then_by={then_by}")
            assert [(line["then"], line["requests"]) for line in told["data"]] == [(name, 1)], then_by
        await mux.ask("GET", "/usage?then_by=day", status=400)
