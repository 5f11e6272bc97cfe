"""`llm-mux prices`: what models cost, and a newer price book on command.

Rule: nothing is fetched unless `update` is called; what is fetched is checked before it replaces anything.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, pass_invocation
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.ledger.pricing import Prices

_MOST_BYTES = 32 << 20
_TIMEOUT_S = 30.0


@click.group()
def prices() -> None:
    """Show what models cost; bring the price book up to date."""


@prices.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def show(invocation: Invocation, model: str, as_json: bool) -> None:
    """Show what MODEL costs at each provider.

    PROVIDER/MODEL asks for one.
    """
    book = _prices(invocation)
    provider, slash, rest = model.partition("/")
    places = [(provider, rest)] if slash and provider in book.book.providers else []
    places += [(each, model) for each in sorted(book.book.providers)]
    found: dict[str, dict[str, str]] = {}
    for each, name in places:
        known = book.known(each, each, name)
        if known is not None:
            found.setdefault(each, known.a_token(time.time()))
    if not found:
        raise Failure(f"no price is known for {clean(model)}; `prices` in the configuration can say one")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)


@prices.command()
@click.argument("source", required=False)
@pass_invocation
def update(invocation: Invocation, source: str | None) -> None:
    """Take a newer price book.

    SOURCE is a file or an https URL; left out: where genai-prices publishes its data.
    """
    from llm_mux import paths
    from llm_mux.ledger import price_book
    from llm_mux.ledger.price_import import URL, NotPrices, read

    place = source or URL
    try:
        book = read(_fetched(place), datetime.now(UTC).date())
    except NotPrices as error:
        raise Failure(f"{clean(place)}: {clean(str(error))[:200]}") from error
    price_book.save(book, paths.prices_file())
    count = sum(len(models) for models in book.providers.values())
    click.echo(
        f"{count:,} prices of {len(book.providers)} providers ({clean(book.said_by)}); a running daemon takes them."
    )


@prices.command()
def reset() -> None:
    """Go back to the price book that came with this version."""
    from llm_mux import paths

    paths.prices_file().unlink(missing_ok=True)
    click.echo("The price book of this version is in effect.")


def _prices(invocation: Invocation) -> Prices:
    """What is in effect: your own prices and the book."""
    from llm_mux import paths
    from llm_mux.ledger import price_book
    from llm_mux.ledger.pricing import Prices, own_prices

    return Prices(price_book.current(paths.prices_file()), own_prices(invocation.load().config.prices))


def _fetched(place: str) -> bytes:
    if not place.startswith(("https://", "http://")):
        file = Path(place).expanduser()
        if not file.is_file():
            raise Failure(f"there is no file {clean(place)}, and it is no https URL")
        return file.read_bytes()
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import urlopen

    from llm_mux.config import is_loopback

    if not place.startswith("https://") and not is_loopback(urlsplit(place).hostname or ""):
        raise Failure("prices are taken over https only")
    try:
        with urlopen(place, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # the scheme was looked at
            data: bytes = answer.read(_MOST_BYTES + 1)
    except (URLError, OSError) as error:
        raise Failure(f"{clean(place)} cannot be read: {clean(str(error))}") from error
    if len(data) > _MOST_BYTES:
        raise Failure(f"{clean(place)} is larger than {_MOST_BYTES >> 20} MiB")
    return data


def _show(found: dict[str, dict[str, str]]) -> None:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("provider")
    kinds = ("prompt", "completion", "input_cache_read", "input_cache_write")
    for title in ("input", "output", "cache read", "cache write"):
        table.add_column(title, justify="right")
    table.add_column("from")
    for provider, told in found.items():
        amounts = [f"${Decimal(told[kind]).scaleb(6).normalize():f}" if kind in told else "" for kind in kinds]
        table.add_row(*(Text(clean(cell)) for cell in (provider, *amounts, told["source"])))
    console = Console(highlight=False)
    console.print(table)
    console.print("US dollars for a million tokens")
