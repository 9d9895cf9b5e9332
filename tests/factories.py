"""Rows for tests: `make = Make(session)`, then make.store(), make.guide(), make.contact() …

Every maker fills what the test does not say, flushes, and returns the row.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import (
    Brand,
    ChannelCode,
    ChannelCodeGuide,
    Contact,
    ContactIdentity,
    FollowRelation,
    Guide,
    Member,
    Purchase,
    PurchaseLine,
    Region,
    Store,
)
from content_library.models import TalkingPoint, TalkingPointVariant
from tagging.models import ContactScore, Tag, TagAssignment, TagGroup, TagRule

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
TODAY = date(2026, 11, 21)

_numbers = count(1)


class Make:
    """Makes rows in one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def _add(self, row: Any) -> Any:
        self.session.add(row)
        self.session.flush()
        return row

    def brand(self, **settings: Any) -> Brand:
        return self._add(Brand(id=1, name="星河珠宝", settings=settings))

    def region(self, **given: Any) -> Region:
        n = next(_numbers)
        return self._add(Region(**{"code": f"r{n}", "name": f"大区{n}"} | given))

    def store(self, **given: Any) -> Store:
        n = next(_numbers)
        return self._add(Store(**{"code": f"S{n:04}", "name": f"第{n}门店"} | given))

    def guide(self, store: Store | None = None, **given: Any) -> Guide:
        n = next(_numbers)
        store = store or self.store()
        return self._add(
            Guide(**{"userid": f"guide{n}", "name": f"导购{n}", "store_id": store.id} | given)
        )

    def contact(
        self, guide: Guide | None = None, *, followed_on: date | None = None, **given: Any
    ) -> Contact:
        """A contact with a score row, followed by `guide` since `followed_on` if one is given."""
        n = next(_numbers)
        contact = self._add(Contact(**{"external_userid": f"wm{n:08}", "name": f"客户{n}"} | given))
        self._add(ContactScore(contact_id=contact.id))
        if guide is not None:
            self.follow(guide, contact, followed_on=followed_on or TODAY - timedelta(days=100))
        return contact

    def follow(
        self, guide: Guide, contact: Contact, *, followed_on: date = TODAY, **given: Any
    ) -> FollowRelation:
        """A live relation; it becomes the contact's primary one if there is none."""
        at = datetime(followed_on.year, followed_on.month, followed_on.day, 4, 0, tzinfo=UTC)
        relation = self._add(
            FollowRelation(
                **{
                    "guide_id": guide.id,
                    "contact_id": contact.id,
                    "state": "active",
                    "followed_at": at,
                    "followed_on": followed_on,
                    "changed_at": at,
                }
                | given
            )
        )
        if contact.guide_id is None:
            contact.guide_id, contact.followed_on = guide.id, followed_on
            contact.channel_code_id = relation.channel_code_id
            self.session.flush()
        return relation

    def member(self, contact: Contact, **given: Any) -> Member:
        n = next(_numbers)
        return self._add(Member(**{"contact_id": contact.id, "member_no": f"M{n:06}"} | given))

    def identity(self, contact: Contact, kind: str, value: str) -> ContactIdentity:
        return self._add(ContactIdentity(kind=kind, value=value, contact_id=contact.id))

    def purchase(
        self,
        contact: Contact,
        *,
        on: date = TODAY,
        amount_fen: int = 1_000_000,
        category: str = "对戒",
        name: str | None = None,
        **given: Any,
    ) -> Purchase:
        n = next(_numbers)
        at = datetime(on.year, on.month, on.day, 6, 0, tzinfo=UTC)
        purchase = self._add(
            Purchase(
                **{
                    "source": "pos",
                    "order_no": f"O{n:07}",
                    "contact_id": contact.id,
                    "amount_fen": amount_fen,
                    "purchased_at": at,
                    "purchased_on": business_day(at),
                }
                | given
            )
        )
        self._add(
            PurchaseLine(
                purchase_id=purchase.id,
                line_no=1,
                name=name or f"{category}款{n}",
                category=category,
                amount_fen=amount_fen,
            )
        )
        return purchase

    def score(self, contact: Contact, **given: Any) -> ContactScore:
        row = self.session.get(ContactScore, contact.id) or ContactScore(contact_id=contact.id)
        for key, value in given.items():
            setattr(row, key, value)
        return self._add(row)

    def channel_code(self, *guides: Guide, **given: Any) -> ChannelCode:
        n = next(_numbers)
        code = self._add(ChannelCode(**{"name": f"活码{n}", "state": f"code-{n}"} | given))
        for position, guide in enumerate(guides):
            self._add(
                ChannelCodeGuide(channel_code_id=code.id, guide_id=guide.id, position=position)
            )
        return code

    def tag(self, path: str = "价值/高净值", **given: Any) -> Tag:
        group_name, name = path.split("/", 1)
        group = self.session.query(TagGroup).filter_by(name=group_name).one_or_none()
        group = group or self._add(TagGroup(name=group_name))
        return self._add(Tag(**{"group_id": group.id, "name": name} | given))

    def assignment(self, contact: Contact, tag: Tag, *, on: date = TODAY, **given: Any) -> Any:
        return self._add(
            TagAssignment(
                **{
                    "contact_id": contact.id,
                    "tag_id": tag.id,
                    "source": "guide",
                    "assigned_at": datetime(on.year, on.month, on.day, 4, tzinfo=UTC),
                    "assigned_on": on,
                    "mark_state": "marked",
                }
                | given
            )
        )

    def rule(self, tag: Tag, when: dict[str, Any], **given: Any) -> TagRule:
        n = next(_numbers)
        return self._add(TagRule(**{"name": f"规则{n}", "tag_id": tag.id, "when": when} | given))

    def talking_point(self, *variants: str, **given: Any) -> TalkingPoint:
        n = next(_numbers)
        point = self._add(TalkingPoint(**{"name": f"话术{n}", "scene": "新客"} | given))
        for position, text in enumerate(variants or ("{客户称呼}，您好",)):
            self._add(TalkingPointVariant(talking_point_id=point.id, position=position, text=text))
        return point


__all__ = ["NOON", "TODAY", "Make"]
