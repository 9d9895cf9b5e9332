"""The starter pack (起步包): programmes, words and templates any jeweller can begin with.

It is an ordinary brand pack without a brand: `daogou load starter` writes it beside what HQ has.
Its names are its own, so nothing of another pack is overwritten.
"""

from __future__ import annotations

from importlib import resources

#: What stands after what it needs, as a person would read it.
PARTS = ("channels.yaml", "words.yaml", "sops.yaml")


def pack_text() -> str:
    """The starter pack as it is shipped, as one YAML text."""
    folder = resources.files(__name__)
    return "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in PARTS)
