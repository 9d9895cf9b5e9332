"""Which structure the database has, and which the program wants (结构版本)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

_SCRIPTS = Path(__file__).parents[2] / "migrations" / "versions"
_REVISION = re.compile(r"^revision\b[^=\n]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b[^=\n]*=(.*(?:\n[ \t)].*)*)", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")


class Fit(StrEnum):
    """How the database's structure stands to the program's."""

    CURRENT = "current"
    #: `daogou migrate` has not been run since the program was renewed.
    OLD = "old"
    #: A newer program has migrated it; this one may be about to be replaced.
    NEWER = "newer"


@dataclass(frozen=True)
class Scripts:
    """All migration scripts by name, and the last of them."""

    known: frozenset[str]
    heads: frozenset[str]


@cache
def scripts(folder: Path = _SCRIPTS) -> Scripts:
    """Read once a process, as text: the scripts themselves bring Alembic and all tables."""
    known: set[str] = set()
    before: set[str] = set()
    for path in folder.glob("*.py"):
        words = path.read_text(encoding="utf-8")
        known.update(_REVISION.findall(words))
        for names in _BEFORE.findall(words):
            before.update(_QUOTED.findall(names))
    return Scripts(frozenset(known), frozenset(known - before))


#: What a database says it has; the table is missing in one that was never migrated.
QUERY = "SELECT version_num FROM alembic_version"


def fit(found: frozenset[str], wanted: Scripts | None = None) -> Fit:
    """Compare what the database says with the scripts."""
    wanted = scripts() if wanted is None else wanted
    if found == wanted.heads:
        return Fit.CURRENT
    return Fit.NEWER if found - wanted.known else Fit.OLD
