"""Small XML in, flat fields out: the only XML parser of this program.

Size and shape are checked before a parser sees a byte, because whoever can reach the callback
address can post there. A document is one `<xml>` with fields; a field appears once unless WeCom
documents it as a list.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError, fromstring

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from bot.errors import CallbackError

BODY_LIMIT = 64 * 1024
_OPENING = re.compile(r"\s*(<\?xml[^>]{0,100}\?>\s*)?<xml>")
# A real message has about 10 tags, a large group change a few hundred.
_MOST_TAGS = 4000


def read_root(document: bytes, *, kind: str) -> Element:
    """Parse one `<xml>` document of at most 64 KiB; `kind` is the CallbackError to raise."""
    if len(document) > BODY_LIMIT:
        raise CallbackError("too_large" if kind == "bad_body" else kind, "more than 64 KiB")
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError:
        raise CallbackError(kind, "not UTF-8") from None
    text = text.removeprefix("\ufeff")
    if not _OPENING.match(text) or text.count("<") > _MOST_TAGS:
        raise CallbackError(kind, "not one <xml> document")
    # Before the signature is checked, a document type is refused by its letters already, so that
    # no parser setting has to be right for it. Inside, those letters may be a guide's own words.
    if kind == "bad_body" and ("<!doctype" in text.lower() or "<!entity" in text.lower()):
        raise CallbackError(kind, "a document type is not allowed")
    # Without a document type there is nothing to defuse, and the parser in C is five times quicker.
    parse = ElementTree.fromstring if "<!doctype" in text.lower() else fromstring
    try:
        root: Element = parse(text)
    except (ParseError, DefusedXmlException, ValueError):
        raise CallbackError(kind, "not well-formed XML") from None
    return root


def read_encrypted(body: bytes) -> str:
    """The text of `<Encrypt>` in an outer envelope; flat, and exactly once."""
    root = read_root(body, kind="bad_body")
    seen: dict[str, str] = {}
    for child in root:
        if len(child) or child.tag in seen:
            raise CallbackError("bad_body", "the envelope must be flat, each field once")
        seen[child.tag] = child.text or ""
    encrypted = seen.get("Encrypt", "")
    if not encrypted:
        raise CallbackError("bad_body", "there is no Encrypt")
    return encrypted


def read_field(body: bytes, name: str) -> str:
    """One field of a flat document, or an empty text."""
    root = read_root(body, kind="bad_body")
    return root.findtext(name) or ""
