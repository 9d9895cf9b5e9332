"""The starter pack (起步包): programmes, words and templates any jeweller can begin with.

It is an ordinary brand pack without a brand: `daogou load starter` writes it beside what HQ has.
Its names are its own, so nothing of another pack is overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

#: What stands after what it needs, as a person would read it.
PARTS = ("channels.yaml", "words.yaml", "sops.yaml")


def pack_text() -> str:
    """The starter pack as it is shipped, as one YAML text."""
    folder = resources.files(__name__)
    return "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in PARTS)


@dataclass(frozen=True)
class ChannelSamples:
    """What the pack's templates hold in place of what only a provider can give."""

    signatures: frozenset[str]
    codes: frozenset[str]


@cache
def channel_samples() -> ChannelSamples:
    """The sample signatures and codes, which no carrier knows."""
    given = yaml.safe_load(resources.files(__name__).joinpath(PARTS[0]).read_text("utf-8"))
    templates = [*given["sms_templates"], *given["wechat_templates"]]
    return ChannelSamples(
        frozenset(one["signature"] for one in templates if "signature" in one),
        frozenset(one["code"] for one in templates),
    )
