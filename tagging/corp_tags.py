"""Corp tags (企业标签): our groups and tags made in WeCom, and theirs taken over.

A tag is known to WeCom once it has a `wecom_id`; until then its assignments wait. WeCom answers a
name that exists already with 40071: then the one that is there is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from bot import outbox
from bot.bot import Bot
from bot.wecom import bodies
from bot.wecom.details import CorpTag, CorpTagGroup
from tagging.models import MarkState, Tag, TagAssignment, TagGroup

API = "externalcontact/add_corp_tag"
KIND = "corp_tag_create"

#: Key of the transaction lock under which WeCom's list is taken over.
_ADOPT_LOCK = 7_208_421


def push_new_tags(session: Session) -> int:
    """Want every tag that WeCom does not know to be made there; returns how many calls are new."""
    rows = session.execute(
        select(Tag.id, Tag.name, TagGroup.id, TagGroup.name, TagGroup.wecom_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(Tag.is_active, Tag.wecom_id.is_(None))
        .order_by(TagGroup.id, Tag.id)
    )
    drafts = [
        outbox.Draft(
            kind=KIND,
            api=API,
            body=_body(group_wecom_id, group_name, name),
            # A group that was deleted in WeCom and is wanted again is another call.
            dedupe_key=f"corp_tag:{tag_id}:{group_wecom_id or group_name}",
            order_key=f"corp_tag:{group_id}",
            subject={"tag_id": tag_id, "group": group_name, "name": name},
        )
        for tag_id, name, group_id, group_name, group_wecom_id in rows
    ]
    return len(outbox.add_many(session, drafts))


def _body(group_wecom_id: str | None, group_name: str, name: str) -> bytes:
    group = {"group_id": group_wecom_id} if group_wecom_id else {"group_name": group_name}
    return bodies.freeze({**group, "tag": [{"name": name}]})


def tag_created(session: Session, delivery: outbox.Delivery) -> None:
    """Keep the ids WeCom gave, and wake the assignments that waited for them.

    The answer holds the ids: of the call itself, or of `reconcile` where the name was taken.
    """
    group = (delivery.result or {}).get("tag_group") or {}
    named = {one.get("name"): one.get("id") for one in group.get("tag") or []}
    wecom_id = named.get(delivery.subject["name"])
    if not wecom_id:
        return
    _give_id(session, delivery.subject["tag_id"], wecom_id, group.get("group_id"))
    wake(session, [delivery.subject["tag_id"]])


def tag_failed(session: Session, delivery: outbox.Delivery) -> None:
    """A tag that cannot be made: those who wait for it say why."""
    session.execute(
        update(TagAssignment)
        .where(
            TagAssignment.tag_id == delivery.subject["tag_id"],
            TagAssignment.mark_state == MarkState.WAITING.value,
        )
        .values(mark_error=(delivery.last_error or "标签未能在企业微信建立")[:200])
        .execution_options(synchronize_session=False)
    )


def reconcile(bot: Bot, delivery: outbox.Delivery) -> dict[str, Any] | None:
    """Look the tag up in WeCom, after 40071 or a call whose effect is unknown; None: not there."""
    for group in bot.gateway.corp_tags():
        if group.name != delivery.subject["group"]:
            continue
        for tag in group.tags:
            if tag.name == delivery.subject["name"]:
                return {
                    "tag_group": {
                        "group_id": group.id,
                        "group_name": group.name,
                        "tag": [{"id": tag.id, "name": tag.name}],
                    }
                }
    return None


def _give_id(session: Session, tag_id: int, wecom_id: str, group_wecom_id: str | None) -> None:
    taken = select(Tag.id).where(Tag.wecom_id == wecom_id).exists()
    session.execute(
        update(Tag)
        .where(Tag.id == tag_id, Tag.wecom_id.is_(None), ~taken)
        .values(wecom_id=wecom_id)
        .execution_options(synchronize_session=False)
    )
    if group_wecom_id:
        group_id = select(Tag.group_id).where(Tag.id == tag_id).scalar_subquery()
        is_taken = _groups_with(group_wecom_id)
        session.execute(
            update(TagGroup)
            .where(TagGroup.id == group_id, TagGroup.wecom_id.is_(None), ~is_taken)
            .values(wecom_id=group_wecom_id)
            .execution_options(synchronize_session=False)
        )


def _groups_with(wecom_id: str) -> Any:
    other = TagGroup.__table__.alias("other")
    return select(other.c.id).where(other.c.wecom_id == wecom_id).exists()


def wake(session: Session, tag_ids: Sequence[int]) -> int:
    """Let the assignments of these tags be pushed now; returns how many."""
    statement = (
        update(TagAssignment)
        .where(
            TagAssignment.tag_id.in_(tag_ids),
            TagAssignment.mark_state == MarkState.WAITING.value,
        )
        .values(mark_state=MarkState.PENDING.value, mark_error=None)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]


def adopt_corp_tags(session: Session, groups: Sequence[CorpTagGroup]) -> int:
    """Make our groups and tags follow WeCom's whole list; returns how many rows changed.

    Found by id first (renamed there: renamed here), else by name (the same tag, its id is kept).
    What WeCom no longer has becomes inactive, and its assignments go, as they went there. The list
    has at most 10,000 tags (document 92117), so this is a loop over it in memory.
    """
    book = _Book.load(session)
    for place, group in enumerate(_in_order(groups)):
        row = book.group(group, place)
        session.flush()
        for tag_place, tag in enumerate(_in_order(group.tags)):
            book.tag(row, tag, tag_place)
    gone = book.retire({tag.id for group in groups for tag in group.tags}, groups)
    session.flush()
    if gone:
        session.execute(
            delete(TagAssignment)
            .where(TagAssignment.tag_id.in_(gone))
            .execution_options(synchronize_session=False)
        )
    if book.named:
        wake(session, [tag.id for tag in book.named])
    return book.changes


def _in_order(items: Sequence[Any]) -> list[Any]:
    """WeCom shows the larger `order` first."""
    return sorted(items, key=lambda one: (-one.order, one.name))


@dataclass
class _Book:
    """Our groups and tags while WeCom's list is walked."""

    session: Session
    groups: dict[int, TagGroup]
    tags: dict[int, Tag]
    changes: int = 0
    #: Tags that WeCom did not know before.
    named: list[Tag] = field(default_factory=list)

    @classmethod
    def load(cls, session: Session) -> _Book:
        # Two readers of the list at the same time would insert the same names twice.
        session.execute(select(func.pg_advisory_xact_lock(_ADOPT_LOCK)))
        groups = session.scalars(select(TagGroup).execution_options(populate_existing=True))
        tags = session.scalars(select(Tag).execution_options(populate_existing=True))
        return cls(session, {one.id: one for one in groups}, {one.id: one for one in tags})

    def group(self, theirs: CorpTagGroup, place: int) -> TagGroup:
        by_id = next((one for one in self.groups.values() if one.wecom_id == theirs.id), None)
        by_name = next((one for one in self.groups.values() if one.name == theirs.name), None)
        row = by_id or by_name
        if row is None:
            row = TagGroup(name=theirs.name, wecom_id=theirs.id, position=place)
            self.session.add(row)
            self.session.flush()
            self.groups[row.id] = row
            self.changes += 1
            return row
        if row.wecom_id != theirs.id:
            row.wecom_id = theirs.id
            self.changes += 1
        # Another group of ours holds the new name: then ours keeps the old one.
        if row.name != theirs.name and by_name is None:
            row.name = theirs.name
            self.changes += 1
        return row

    def tag(self, group: TagGroup, theirs: CorpTag, place: int) -> None:
        by_id = next((one for one in self.tags.values() if one.wecom_id == theirs.id), None)
        by_name = next(
            (
                one
                for one in self.tags.values()
                if one.group_id == group.id and one.name == theirs.name
            ),
            None,
        )
        row = by_id or by_name
        if row is None:
            row = Tag(
                group_id=group.id,
                name=theirs.name,
                wecom_id=theirs.id,
                position=place,
                is_active=True,
            )
            self.session.add(row)
            self.session.flush()
            self.tags[row.id] = row
            self.changes += 1
            return
        before = (row.wecom_id, row.group_id, row.name, row.is_active)
        if row.wecom_id != theirs.id:
            row.wecom_id = theirs.id
            self.named.append(row)
        if by_name is None:
            row.group_id, row.name = group.id, theirs.name
        row.is_active = True
        self.changes += before != (row.wecom_id, row.group_id, row.name, row.is_active)

    def retire(self, known: set[str], groups: Sequence[CorpTagGroup]) -> list[int]:
        """Tags that WeCom had once and has no more; their groups lose their id."""
        gone = []
        for tag in self.tags.values():
            if tag.wecom_id is not None and tag.wecom_id not in known:
                tag.is_active, tag.wecom_id = False, None
                gone.append(tag.id)
        group_ids = {one.id for one in groups}
        for group in self.groups.values():
            if group.wecom_id is not None and group.wecom_id not in group_ids:
                group.wecom_id = None
        self.changes += len(gone)
        return gone
