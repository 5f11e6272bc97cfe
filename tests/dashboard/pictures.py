"""Takes the pictures of docs/dashboard.md: `python -m tests.dashboard.pictures [FOLDER]`, `docs/images` if none is named.

They show the real pages of a daemon with made-up books; what is there is the same every time, the days are of today.
"""

from __future__ import annotations

import asyncio
import pathlib
import random
import sys
import tempfile
import time

from llm_mux.ledger import insert
from llm_mux.ledger.rows import Exchange
from llm_mux.ledger.spool import Piece
from llm_mux.server.serving import DAEMON
from tests.dashboard.browser import PHONE, Visit, chromium, visited
from tests.rows import row_of
from tests.server.management import Managed, managed

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
SIZE = {"width": 1200, "height": 760}
SHOWN = {
    "home": "",
    "live": "live",
    "usage": "usage",
    "accounts": "accounts",
    "models": "models",
    "routes": "routes?model=demo-500",
    "billing": "billing",
    "config": "config",
    "inspector": "inspector/{request}",
    "playground": "playground?model=demo-thinking",
}
CONFIG = {
    "capture": True,
    "request-retry": 0,
    "aliases": {"fast": "demo", "clever": "demo-thinking"},
    "fallbacks": {"demo-500": ["demo"]},
    "billing": {"enabled": True, "initial-balance": "5"},
}
MODELS = (
    ("claude-sonnet-4-5", "anthropic", "work", 3.0, 6),
    ("claude-opus-4-5", "anthropic", "work", 5.0, 2),
    ("gpt-5", "openai", "team", 1.25, 3),
    ("gemini-2.5-flash", "gemini", "main", 0.3, 4),
)


def books(now: float) -> list[Exchange]:
    """Forty days of a small team."""
    chance = random.Random(7)
    made = []
    for number in range(3000):
        model, provider, account, price, _ = chance.choices(MODELS, [each[4] for each in MODELS])[0]
        tokens = chance.randrange(500, 30_000)
        made.append(
            row_of(
                time=now - chance.random() * 40 * 86_400,
                request_id=f"req_{number:08x}",
                client_key=chance.choice(("laptop", "ci", "open-webui")),
                protocol="anthropic",
                model_asked=model,
                model_served=model,
                provider=provider,
                account=account,
                attempts=1,
                status=200,
                input_tokens=tokens,
                cache_read_tokens=tokens * 3,
                output_tokens=tokens // 12,
                ttft_ms=chance.uniform(400, 1200),
                duration_ms=chance.uniform(2000, 9000),
                cost=int(tokens * price * 2e6),
                price_source="made up",
            )
        )
    return sorted(made, key=lambda row: row.time)


async def keep(mux: Managed) -> str:
    """Puts it all into the books; the request that is looked into."""
    now = time.time()
    rows = books(now)
    await mux.app[DAEMON].parts.database.run(
        lambda books: insert.write(books, "pictures", [Piece(n, row) for n, row in enumerate(rows, 1)], now)
    )
    for model in ("demo", "clever", "demo-500", "fast", "demo-429", "demo-thinking"):
        body = {"model": model, "messages": [{"role": "user", "content": "What does a multiplexer do?"}]}
        async with mux.bare.post("/v1/chat/completions", json=body) as answer:
            await answer.read()
    for user, amount in (("ada", "40"), ("grace@corp.example", "12.5"), ("ci", "-6.20")):
        await mux.ask("POST", "/billing/credit", json={"user": user, "amount": amount, "description": "November"})
    lines = (await mux.ask("GET", "/requests"))["requests"]
    return next(str(line["request"]) for line in lines if line["model"] == "demo-500")


async def take(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        async with chromium() as browser, managed(pathlib.Path(home), CONFIG) as mux:
            request = await keep(mux)
            for look, scheme, size, names in (
                ("", "light", SIZE, tuple(SHOWN)),
                ("-dark", "dark", SIZE, ("live",)),
                ("-phone", "light", PHONE, ("usage",)),
            ):
                context, visit = await visited(browser, mux, color_scheme=scheme, viewport=size)
                await visit.page.goto(f"{mux.url}/")
                await visit.sign_in()
                for name in names:
                    await _picture(visit, name, SHOWN[name].format(request=request), folder / f"{name}{look}.png")
                await context.close()


async def _picture(visit: Visit, name: str, address: str, file: pathlib.Path) -> None:
    await visit.open(address)
    if name == "playground":
        await visit.page.get_by_role("textbox", name="Message").fill("What does a multiplexer do?")
        await visit.button("Send").click()
        await visit.says("You said").to_be_visible()
        await visit.page.get_by_text("tok/s").or_(visit.page.get_by_text("took")).first.wait_for()
    await visit.page.mouse.move(0, 0)
    await visit.page.screenshot(path=file)
    assert file.stat().st_size < MOST_BYTES, f"{file} is too large for a page of the docs"


if __name__ == "__main__":
    asyncio.run(take(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
