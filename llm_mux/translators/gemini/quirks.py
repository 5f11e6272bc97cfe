"""How servers of the Gemini format differ from the Gemini Developer API; the defaults are the official behaviour."""

from __future__ import annotations

from msgspec import Struct


class Quirks(Struct, frozen=True):
    """Each field is named for the behaviour; the comment says who needs the other value."""

    vertex: bool = (
        False  # Vertex AI: no call ids, no `store` or `serviceTier`, flat countTokens, labels in every version
    )
    file_urls: bool = True  # False: servers that fetch no https `fileUri` (older hosts, most compatible servers)
    json_schema: bool = True  # False: servers that know only the Schema form (`parameters`, `responseSchema`)
    one_spelling: bool = False  # Code Assist: names are understood in camelCase alone
    web_search: bool = True  # False: accounts that must not turn another vendor's web search into `googleSearch`


OFFICIAL = Quirks()


def of(quirks: object) -> Quirks:
    """The quirks of a target, official ones when it names none."""
    return quirks if isinstance(quirks, Quirks) else OFFICIAL
