"""Find and copy talking points (话术), filled in for one customer where one is named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import Contact
from content_library import placeholders, talking_points
from content_library.models import TalkingPoint, TalkingPointVariant
from content_library.talking_points import Found
from handlers.h5 import book, guard
from handlers.web import the_bot

bp = Blueprint("words", __name__)

_LONGEST_QUERY = 40
_MOST = 30
_MOST_SCENES = 24


@bp.get("/words")
def page() -> Any:
    """All talking points by scene, one scene, or what fits the words she wrote."""
    bot, viewer = the_bot(), guard.viewer()
    wanted = _clean(request.args.get("q", ""))
    scene = _clean(request.args.get("scene", ""))
    contact_id = request.args.get("contact", type=int)
    day = business_day(bot.clock.now())
    with bot.sessions() as session:
        name, guide_id = "", viewer.id
        if contact_id is not None:
            name, guide_id = _addressee(session, contact_id)
        found = (
            talking_points.search(session, wanted, limit=_MOST)
            if wanted
            else _of_scene(session, scene)
        )
        facts = placeholders.contact_facts(session, contact_id, guide_id, day)
        scenes = _scenes(session)
    points = [
        Found(
            point.id,
            point.name,
            point.scene,
            tuple(placeholders.fill(one, facts) for one in point.variants),
        )
        for point in found
    ]
    return render_template(
        "h5/_word_points.html" if guard.is_partial() else "h5/words.html",
        tab="h5.words.page",
        points=points,
        scenes=scenes,
        scene="" if wanted else scene,
        wanted=wanted,
        contact_id=contact_id,
        contact_name=name,
    )


def _addressee(session: Session, contact_id: int) -> tuple[str, int]:
    """The name of a customer in her sight, and the guide in whose name the words speak."""
    viewer = guard.viewer()
    relation = None
    if 0 < contact_id <= guard.LARGEST_ID:
        relation = book.nearest_relation(session, viewer, contact_id)
    if relation is None:
        abort(404)
    nickname = session.scalar(select(Contact.name).where(Contact.id == contact_id))
    return book.shown_name(relation.remark, nickname), relation.guide_id


def _scenes(session: Session) -> Sequence[str]:
    return session.scalars(
        select(TalkingPoint.scene)
        .where(TalkingPoint.is_active, TalkingPoint.scene != "")
        .group_by(TalkingPoint.scene)
        .order_by(TalkingPoint.scene)
        .limit(_MOST_SCENES)
    ).all()


def _of_scene(session: Session, scene: str) -> list[Found]:
    query = select(TalkingPoint).where(TalkingPoint.is_active)
    if scene:
        query = query.where(TalkingPoint.scene == scene)
    points = session.scalars(
        query.order_by(TalkingPoint.scene, TalkingPoint.name).limit(_MOST)
    ).all()
    variants: dict[int, list[str]] = defaultdict(list)
    for point_id, wording in session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        .where(TalkingPointVariant.talking_point_id.in_([point.id for point in points]))
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    ):
        variants[point_id].append(wording)
    return [Found(p.id, p.name, p.scene, tuple(variants[p.id])) for p in points]


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()[:_LONGEST_QUERY]
