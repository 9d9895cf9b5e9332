"""How guides and customers stand to each other (跟进关系): read for many pairs in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm.models import FollowState

# WeCom compares userids without case.
_READ = text(
    """
    SELECT lower(g.userid) AS userid, c.external_userid, f.id AS relation_id, f.relation_no,
           f.guide_id, f.contact_id, f.channel_code_id, f.state, f.followed_at, f.ended_at,
           f.ended_by, COALESCE(NULLIF(f.remark, ''), NULLIF(c.name, ''), m.name) AS name,
           NULLIF(c.name, '') IS NOT NULL AS has_nickname, c.kind AS contact_kind,
           c.fetched_at IS NOT NULL AS is_read
    FROM contact c
    JOIN follow_relation f ON f.contact_id = c.id
    JOIN guide g ON g.id = f.guide_id
    LEFT JOIN member m ON m.contact_id = c.id
    WHERE c.external_userid = ANY(:customers) AND lower(g.userid) = ANY(:guides)
    """
)

#: (userid in lower case, external_userid)
Pair = tuple[str, str]


@dataclass(frozen=True)
class Standing:
    """One relation as the book has it, with what is known of the customer's name."""

    relation_id: int
    relation_no: int
    guide_id: int
    contact_id: int
    channel_code_id: int | None
    state: str
    followed_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    #: The guide's remark, the WeChat name or the member's name.
    name: str | None
    has_nickname: bool
    contact_kind: int
    #: WeCom has told the details at least once.
    is_read: bool

    @property
    def is_ended(self) -> bool:
        """Whether the two have parted."""
        return self.state == FollowState.ENDED


def pair(userid: str, external_userid: str) -> Pair:
    """How a pair is looked up here."""
    return userid.lower(), external_userid


def read(session: Session, pairs: Iterable[Pair]) -> dict[Pair, Standing]:
    """Where each of these pairs stands; a pair nobody has told of yet is missing."""
    wanted = set(pairs)
    if not wanted:
        return {}
    given = {
        "guides": sorted({userid for userid, _ in wanted}),
        "customers": sorted({external_userid for _, external_userid in wanted}),
    }
    found = {}
    for row in session.execute(_READ, given).mappings():
        values = dict(row)
        key = (values.pop("userid"), values.pop("external_userid"))
        if key in wanted:
            found[key] = Standing(**values)
    return found
