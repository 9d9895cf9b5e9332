"""The brand pack (品牌包): HQ's content as one YAML file, loaded and dumped.

Loading is one transaction and idempotent by name, code, userid or state: the same file twice
changes nothing, a wrong line changes nothing at all. Dumping what was loaded gives the same pack.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import yaml
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import calendar
from handlers import contact_ways
from handlers.brand_pack import channels, content, days, organisation, plans, shape, tags
from handlers.brand_pack.reading import PackError, read
from tagging import corp_tags

__all__ = ["Loaded", "PackError", "dump", "load"]

# The order in which a person reads a pack, which is also that of design and sample.
_ORDER = ("brand", "settings", *shape.SECTIONS)


@dataclass(frozen=True)
class Loaded:
    """What a pack held: items per section, and how many SOPs got a new version."""

    counts: dict[str, int]
    published: int
    #: What is allowed, but worth a second look by HQ.
    warnings: tuple[str, ...] = ()


def load(session: Session, text: str, *, by: str, now: datetime) -> Loaded:
    """Write a whole pack in the caller's transaction; raises PackError naming the line."""
    pack = read(text)
    shape.check(pack)
    organisation.load(session, pack)
    days.load(session, pack)
    # SOPs may name festivals, so the calendar must reach this year before they are checked.
    calendar.extend(session, business_day(now))
    tags.load_groups(session, pack)
    warnings = content.load(session, pack)
    warnings += channels.load(session, pack)
    tags.load_codes(session, pack)
    session.flush()
    # A rule may ask for an SOP, and an SOP for another: their names stand before either is checked.
    plans.load_names(session, pack)
    tags.load_rules(session, pack)
    session.flush()
    published = plans.load(session, pack, by=by, now=now)
    corp_tags.push_new_tags(session)
    contact_ways.push_changed(session)
    counts = {section: len(pack[section]) for section in shape.SECTIONS if section in pack}
    return Loaded(counts, published, tuple(warnings))


def dump(session: Session) -> str:
    """The pack of what stands in the database, as YAML."""
    found = (
        organisation.dump(session)
        | days.dump(session)
        | content.dump(session)
        | channels.dump(session)
        | tags.dump(session)
        | plans.dump(session)
    )
    pack = {key: found[key] for key in _ORDER if found.get(key)}
    return yaml.safe_dump(pack, allow_unicode=True, sort_keys=False, width=100)
