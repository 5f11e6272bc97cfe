"""Who cannot see or cannot point: no page breaks a rule of WCAG that axe-core knows, in either colour, on either screen."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tests.dashboard import pictures
from tests.dashboard.browser import DESK, PAGES, PHONE
from tests.dashboard.conftest import Seen

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="session")
def axe(node_tools: pathlib.Path) -> str:
    return (node_tools / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def broken(seen: Any, axe: str, where: str) -> list[str]:
    """What axe-core finds wrong."""
    await seen.page.evaluate(axe)
    found = await seen.page.evaluate("rules => axe.run(document, rules)", RULES)
    assert len(found["passes"]) > 10, "it looked"
    return [
        f"{where}: {rule['id']} ({rule['impact']}): {node['html'][:120]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.node
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_breaks_a_rule(visit: Seen, axe: str, scheme: str, size: dict[str, int]) -> None:
    config = {"capture": True, "aliases": {"fast": "demo"}, "fallbacks": {"demo-500": ["demo"]}, "request-retry": 0}
    async with visit(None, config, looks={"color_scheme": scheme, "viewport": size}) as seen:
        await seen.page.get_by_label("Management key").wait_for()
        wrong = await broken(seen, axe, "sign-in")
        await seen.sign_in()
        for model in ("demo", "demo-500", "demo-429"):
            body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
            async with seen.mux.bare.post("/v1/chat/completions", json=body) as answer:
                made = answer.headers["X-Request-ID"]
        await seen.mux.ask("POST", "/billing/credit", json={"user": "ann", "amount": "-2.5"})
        for page in (*PAGES, "routes?model=demo-500", f"inspector/{made}", "billing/ann"):
            await seen.open("" if page == "home" else page)
            wrong += await broken(seen, axe, page)
        assert wrong == []


@pytest.mark.node
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_dialog_breaks_a_rule(visit: Seen, axe: str, scheme: str) -> None:
    wrong = []
    async with visit("keys", looks={"color_scheme": scheme}) as seen:
        await seen.button("Make a key").first.click()
        wrong += await broken(seen, axe, "a new key")
        await seen.page.keyboard.press("Escape")
        await seen.open("accounts")
        await seen.button("Add an account").first.click()
        wrong += await broken(seen, axe, "providers")
        await seen.page.locator("[data-provider=gemini]").click()
        for more in await seen.page.locator("dialog summary").all():
            if await more.is_visible():
                await more.click()
        wrong += await broken(seen, axe, "a new account")
        await seen.page.keyboard.press("Escape")
        await seen.button("Add an account").first.click()
        await seen.page.locator("[data-provider=anthropic]").click()
        wrong += await broken(seen, axe, "a warning")
        await seen.page.keyboard.press("Escape")
        await seen.open("billing")
        await seen.button("Give credit").first.click()
        wrong += await broken(seen, axe, "credit")
        await seen.page.keyboard.press("Escape")
        await seen.open("models")
        await seen.page.locator("main tbody button").first.click()
        wrong += await broken(seen, axe, "a model")
        await seen.page.keyboard.press("Escape")
        await seen.open("config")
        await seen.page.get_by_label("Configuration, YAML").fill("port: 0\ndebug: true\n")
        await seen.button("Review and save").click()
        wrong += await broken(seen, axe, "a change")
    assert wrong == []


async def test_the_pictures_of_the_docs_can_be_taken_and_are_all_used(tmp_path: pathlib.Path) -> None:
    await pictures.take(tmp_path)
    made = {file.name for file in tmp_path.iterdir()}
    assert made == {file.name for file in pictures.FOLDER.glob("*.png")}, "run python -m tests.dashboard.pictures"
    text = (pictures.FOLDER.parent / "dashboard.md").read_text(encoding="utf-8")
    assert {name for name in made if f"images/{name})" in text} == made
