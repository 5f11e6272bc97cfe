"""The rules of RFC 9112 (HTTP/1.1) and RFC 9110 (what it means) that concern a daemon between clients and providers, and
the cases that try each of them: of the server in `tests/server/http_requests.py`, of the two upstream clients in
`tests/gateway/test_upstream_conformance.py`. `tests/test_http_rules_covered.py` holds that both have what is named here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`server` and `client` name cases; None: the rule is none of that end's."""

    section: str
    says: str
    server: tuple[str, ...] | None
    client: tuple[str, ...] | None


RULES = [
    Rule("9112 2.2", "empty lines before a request are passed over", ("empty lines before",), None),
    Rule(
        "9112 2.2",
        "lines end with CR LF",
        ("a bare LF after the request line", "bare LFs"),
        ("lines ended by LF", "one line ended by LF"),
    ),
    Rule(
        "9112 2.2",
        "a bare CR is invalid",
        ("a bare CR in a value", "a bare CR in the request line"),
        ("a bare CR in a value",),
    ),
    Rule("9112 2.2", "no blank before the first field", ("a blank before the first field",), ("a folded header",)),
    Rule(
        "9112 2.2",
        "what is no message is refused",
        ("no request at all", "another protocol"),
        ("another protocol", "no head at all"),
    ),
    Rule(
        "9112 2.3",
        "another major version is refused",
        (
            "another major version",
            "HTTP/2's preface",
            "a version without a minor",
            "no version",
            "a later minor version",
        ),
        ("another version",),
    ),
    Rule("9112 2.3", "the version's name has its case", ("a version in small letters",), ("another protocol",)),
    Rule(
        "9112 3",
        "one blank between the parts of the first line, or what is read the same",
        (
            "two blanks in the request line",
            "a blank in the target",
            "a tab for a blank",
            "a blank after the version",
        ),
        ("no reason and no space", "no reason"),
    ),
    Rule(
        "9112 3.1",
        "a method is a token and has its case",
        ("a method that is no token", "a method in small letters"),
        None,
    ),
    Rule("9112 3", "a line that is too long is refused", ("a target that is too long",), ("a line that is too long",)),
    Rule("9112 3.2.2", "absolute form is taken", ("absolute form",), None),
    Rule("9112 3.2.2", "absolute form goes before Host", ("an absolute form with another Host",), None),
    Rule("9112 3.2.3", "authority form opens no tunnel", ("authority form",), None),
    Rule("9112 3.2.4", "asterisk form is understood", ("asterisk form",), None),
    Rule("9112 3.2", "one valid Host", ("no Host", "two Hosts", "two Hosts that differ", "a Host that is none"), None),
    Rule(
        "9112 4",
        "a status has three digits; the reason may be empty",
        None,
        (
            "a status that is a word",
            "a status of two digits",
            "a status of four digits",
            "no reason",
            "an unusual status",
        ),
    ),
    Rule(
        "9112 5.1",
        "no blank between a name and its colon",
        ("a blank before the colon", "a blank before the colon of a length"),
        ("a space before the colon",),
    ),
    Rule(
        "9112 5.1",
        "blanks around a value are none of it",
        ("blanks around a value", "an empty value"),
        ("spaces around values",),
    ),
    Rule("9112 5.2", "folded lines are refused", ("a folded line", "a folded length"), ("a folded header",)),
    Rule(
        "9110 5.1",
        "names are tokens in any case",
        ("names in any case", "a name that is empty", "a name that is no token", "a line without a colon"),
        ("chunked in other letters", "a header without a name", "a space in a name", "a header without a colon"),
    ),
    Rule("9110 5.3", "a field may come more than once", ("too many fields",), ("the same header twice",)),
    Rule(
        "9110 5.4",
        "heads have a bound",
        ("a field that is too long", "too many fields"),
        ("a line that is too long", "too many headers", "a long head"),
    ),
    Rule(
        "9110 5.5",
        "a value has no NUL; other bytes are kept",
        ("a NUL in a value", "text that is not ASCII"),
        ("a NUL in a value", "text that is not ASCII"),
    ),
    Rule(
        "9112 6.1",
        "a length beside a coding is refused",
        ("a length and chunks", "chunks and a length"),
        ("a length and chunks", "chunks and a length"),
    ),
    Rule(
        "9112 6.1",
        "chunked is the last coding, once; others are not known",
        (
            "a coding that is not chunked",
            "chunked, but not last",
            "a coding inside the chunks",
            "chunked twice",
            "two codings",
            "two codings that differ",
            "almost chunked",
            "chunked with a parameter",
            "chunked behind a vertical tab",
            "an empty coding",
        ),
        (
            "a coding that is not chunked",
            "chunked, but not last",
            "a coding inside the chunks",
            "two codings",
            "almost chunked",
        ),
    ),
    Rule("9112 6.1", "chunks in 1.0 are not relied on", ("chunks in 1.0",), ("1.0 with chunks",)),
    Rule(
        "9112 6.2",
        "a length is one decimal number",
        (
            "two lengths",
            "two lengths that differ",
            "a list of lengths",
            "a length with a sign",
            "a negative length",
            "a length in hexadecimal",
            "a length with an underscore",
            "a length with a point",
            "a length with a blank inside",
            "an empty length",
            "a length in foreign digits",
            "a length out of all bounds",
        ),
        (
            "two lengths",
            "the same length twice",
            "a list of lengths",
            "a negative length",
            "a length with a sign",
            "a length in hexadecimal",
            "an empty length",
            "a length without end",
        ),
    ),
    Rule(
        "9112 6.3",
        "where a body ends",
        ("a length", "no field but Host", "no length and no body", "a body and the next request"),
        ("sized", "empty", "until the end", "until the end, empty", "more after a length", "more after the chunks"),
    ),
    Rule(
        "9112 6.3",
        "answers that never have a body",
        ("HEAD", "a preflight"),
        ("no content", "not modified, with a length", "a HEAD's length", "a HEAD's chunks"),
    ),
    Rule("9112 7.1", "chunks", ("chunks", "many chunks", "chunked in other letters"), ("chunked", "chunked, empty")),
    Rule(
        "9112 7.1",
        "a chunk's size is hexadecimal and nothing else",
        (
            "chunk sizes in capitals and with zeros",
            "a chunk without a size",
            "a chunk's size with a sign",
            "a chunk's size with 0x",
            "a chunk's size that is a word",
            "a chunk's size with an underscore",
            "a blank before a chunk's size",
        ),
        (
            "chunk sizes in capitals and with zeros",
            "a chunk without a size",
            "a chunk's size with a sign",
            "a chunk's size with 0x",
            "a chunk's size that is a word",
            "a space before a chunk's size",
            "a space after a chunk's size",
        ),
    ),
    Rule(
        "9112 7.1",
        "a chunk's size does not overflow",
        ("a chunk's size out of all bounds",),
        ("a chunk's size out of all bounds",),
    ),
    Rule(
        "9112 7.1",
        "a chunk is as long as it says and ends with CR LF",
        (
            "a chunk longer than its size",
            "a chunk shorter than its size",
            "a chunk line ended by LF",
            "a chunk ended by LF",
        ),
        ("a chunk longer than its size", "a chunk line ended by LF"),
    ),
    Rule(
        "9112 7.1.1",
        "extensions are passed over",
        (
            "chunk extensions",
            "an extension with an LF",
            "an extension with a CR",
            "an extension without end",
            "extensions in all chunks",
        ),
        ("chunk extensions", "an extension with an LF", "an extension without end", "extensions in all chunks"),
    ),
    Rule(
        "9112 7.1.2",
        "trailers are no headers, and have a bound",
        ("trailers", "a trailer without a colon", "trailers without end"),
        ("trailers", "a trailer without a colon", "trailers without end"),
    ),
    Rule(
        "9112 8",
        "a message that breaks off is not whole",
        None,
        (
            "nothing",
            "half a head",
            "an interim answer only",
            "half a body",
            "half a chunk",
            "no last chunk",
            "no end of the trailers",
            "a reset instead of an end",
        ),
    ),
    Rule(
        "9112 9.3",
        "connections persist, unless somebody says otherwise",
        ("close in a list", "keep-alive in a list", "1.0", "1.0 kept"),
        ("said to close", "said to close in a list", "1.0 with a length", "1.0 kept", "1.0"),
    ),
    Rule(
        "9112 9.3.2",
        "requests at once are answered in their order, and no answer to nothing is taken",
        ("two requests at once", "the lane, the application and back"),
        ("two answers",),
    ),
    Rule(
        "9112 9.6",
        "after close nothing is answered",
        ("Connection: close", "more after the last request"),
        ("closed after all",),
    ),
    Rule(
        "9110 10.1.1",
        "100 for who asks, 417 for other expectations",
        ("100 asked for with the body there", "an unknown expectation"),
        None,
    ),
    Rule(
        "9110 15.2",
        "interim answers are passed over, and have a bound",
        None,
        ("100 before", "102 and 103 before", "interim answers without end"),
    ),
    Rule(
        "9110 7.8",
        "protocols that are not known are not switched to",
        ("an unknown upgrade", "an upgrade to h2c"),
        ("an unasked upgrade",),
    ),
    Rule("9110 9.1", "a method that is not there is a 405", ("a method that is not there",), None),
    Rule("9110 8.4", "contents are unpacked", None, ("gzip",)),
]
