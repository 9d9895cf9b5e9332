"""Tag groups, tag rules and channel codes of a pack."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from bot.crm.models import ChannelCode, ChannelCodeGuide, Guide
from content_library.models import ChannelWelcome, WelcomeMessage
from handlers.brand_pack import terms
from handlers.brand_pack.organisation import (
    codes,
    given,
    guide_ids,
    refer,
    refer_all,
    upsert,
)
from handlers.brand_pack.reading import Map, Seq, fail, plain
from tagging import conditions
from tagging.models import ChannelTag, Tag, TagGroup, TagRule, TagRuleVersion

# Document 92228: no more than 100 people behind one code.
_GUIDES_PER_CODE = 100


def load_groups(session: Session, pack: Map) -> None:
    """Write tag groups and their tags."""
    items = pack.get("tag_groups", Seq())
    upsert(
        session,
        TagGroup,
        "name",
        [{"name": item["name"], "position": place} for place, item in enumerate(items)],
    )
    ids = codes(session, TagGroup.name, TagGroup.id)
    rows = [
        {"group_id": ids[item["name"]], "name": name, "position": place, "is_active": True}
        for item in items
        for place, name in enumerate(item["tags"])
    ]
    if rows:
        statement = postgresql.insert(Tag).values(rows)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["group_id", "name"],
                set_={"position": statement.excluded.position, "is_active": True},
            )
        )


def tag_ids(session: Session) -> dict[str, int]:
    """`group/name` to tag id, for tags in use."""
    found = session.execute(
        select(TagGroup.name, Tag.name, Tag.id)
        .join(Tag, Tag.group_id == TagGroup.id)
        .where(Tag.is_active)
    )
    return {f"{group}/{name}": tag_id for group, name, tag_id in found}


def load_codes(session: Session, pack: Map) -> None:
    """Write channel codes with their guides, tags and welcome message."""
    items = pack.get("channel_codes", Seq())
    if not items:
        return
    for item in items:
        if len(item["guides"]) > _GUIDES_PER_CODE:
            fail(item.line_of("guides"), f"一个活码最多 {_GUIDES_PER_CODE} 位导购")
    upsert(
        session,
        ChannelCode,
        "state",
        [
            {
                "state": item["state"],
                "name": item["name"],
                "skip_verify": item.get("skip_verify"),
                "is_active": True,
            }
            for item in items
        ],
    )
    ids = codes(session, ChannelCode.state, ChannelCode.id)
    guides, tags = guide_ids(session), tag_ids(session)
    welcomes = codes(session, WelcomeMessage.name, WelcomeMessage.id)
    links: dict[Any, list[dict[str, Any]]] = {
        ChannelCodeGuide: [],
        ChannelTag: [],
        ChannelWelcome: [],
    }
    for item in items:
        code_id = ids[item["state"]]
        for place, guide_id in enumerate(_guides(item, guides)):
            links[ChannelCodeGuide].append(
                {"channel_code_id": code_id, "guide_id": guide_id, "position": place}
            )
        for place, tag_id in enumerate(refer_all(item, "tags", tags, "标签")):
            links[ChannelTag].append(
                {"channel_code_id": code_id, "tag_id": tag_id, "position": place}
            )
        welcome_id = refer(item, "welcome", welcomes, "欢迎语")
        if welcome_id is not None:
            links[ChannelWelcome].append(
                {"channel_code_id": code_id, "welcome_message_id": welcome_id}
            )
    loaded = [ids[item["state"]] for item in items]
    for table, rows in links.items():
        session.execute(delete(table).where(table.channel_code_id.in_(loaded)))
        if rows:
            session.execute(insert(table), rows)


def _guides(item: Map, known: dict[str, int]) -> list[int]:
    names = item["guides"]
    folded = Seq(name.lower() for name in names)
    for position, name in enumerate(folded):
        if name not in known:
            fail(names.lines[position], f"没有导购「{names[position]}」")
        if name in folded[:position]:
            fail(names.lines[position], f"导购「{names[position]}」写了两遍")
    return [known[name] for name in folded]


def load_rules(session: Session, pack: Map) -> None:
    """Write tag rules; a changed condition becomes the rule's next version."""
    tags = tag_ids(session)
    lookup = conditions.load_lookup(session)
    for item in pack.get("tag_rules", Seq()):
        when = plain(item["when"])
        terms.check(item, "when", lookup)
        tag_id = refer(item, "tag", tags, "标签")
        row = session.scalar(select(TagRule).where(TagRule.name == item["name"]))
        if row is None:
            row = TagRule(name=item["name"], tag_id=tag_id, when=when, version=1)
            session.add(row)
        elif row.when == when and row.tag_id == tag_id:
            row.is_active = True
            continue
        else:
            row.tag_id, row.when, row.version = tag_id or row.tag_id, when, row.version + 1
            row.is_active = True
        session.flush()
        session.add(TagRuleVersion(rule_id=row.id, version=row.version, when=when))


def dump(session: Session) -> dict[str, Any]:
    """The three sections as they stand."""
    paths = {tag_id: path for path, tag_id in tag_ids(session).items()}
    names: dict[int, list[str]] = {}
    for group_id, name in session.execute(
        select(Tag.group_id, Tag.name).where(Tag.is_active).order_by(Tag.position, Tag.id)
    ):
        names.setdefault(group_id, []).append(name)
    groups = session.scalars(select(TagGroup).order_by(TagGroup.position, TagGroup.id))
    rules = session.scalars(select(TagRule).where(TagRule.is_active).order_by(TagRule.id))
    return {
        "tag_groups": [
            {"name": row.name, "tags": names[row.id]} for row in groups if row.id in names
        ],
        "channel_codes": _dump_codes(session, paths),
        "tag_rules": [
            {"name": row.name, "tag": paths[row.tag_id], "when": row.when}
            for row in rules
            if row.tag_id in paths
        ],
    }


def _dump_codes(session: Session, paths: dict[int, str]) -> list[dict[str, Any]]:
    userids: dict[int, list[str]] = {}
    for code_id, userid in session.execute(
        select(ChannelCodeGuide.channel_code_id, Guide.userid)
        .join(Guide, Guide.id == ChannelCodeGuide.guide_id)
        .order_by(ChannelCodeGuide.channel_code_id, ChannelCodeGuide.position)
    ):
        userids.setdefault(code_id, []).append(userid)
    tags: dict[int, list[str]] = {}
    for code_id, tag_id in session.execute(
        select(ChannelTag.channel_code_id, ChannelTag.tag_id).order_by(ChannelTag.position)
    ):
        tags.setdefault(code_id, []).append(paths[tag_id])
    chosen = select(ChannelWelcome.channel_code_id, WelcomeMessage.name).join(
        WelcomeMessage, WelcomeMessage.id == ChannelWelcome.welcome_message_id
    )
    welcomes = {row[0]: row[1] for row in session.execute(chosen)}
    return [
        given(
            name=row.name,
            state=row.state,
            guides=userids.get(row.id),
            tags=tags.get(row.id),
            welcome=welcomes.get(row.id),
            skip_verify=row.skip_verify,
        )
        for row in session.scalars(
            select(ChannelCode).where(ChannelCode.is_active).order_by(ChannelCode.id)
        )
    ]
