"""Room: the SOP editor (SOP 编辑): draft, words as one types, preview, publishing."""

from __future__ import annotations

from typing import Any

from flask import (
    Blueprint,
    abort,
    current_app,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import FestivalDay
from bot.db import transaction
from bot.errors import UserError
from handlers.console import (
    actors,
    audit,
    catalog,
    field_catalog,
    sample_reading,
    spec_form,
    step_words,
    version_words,
)
from handlers.console.guard import who
from handlers.console.spec_form import Submitted
from handlers.web import the_bot
from sop import preview, step_kinds, triggers, versions
from sop.models import Reach, Sop, SopVersion, VersionState
from tagging import conditions

bp = Blueprint("editor", __name__, url_prefix="/sops")

_PREVIEW_DAYS = 7
_NEW: dict[str, Any] = {
    "name": "",
    "trigger": {"kind": "followed"},
    "audience": None,
    "steps": [{"day": 0, "at": "+2h", "kind": "chat", "title": ""}],
}


@bp.get("/new")
def new() -> Any:
    """The editor with an empty plan."""
    if not who().may_write:
        abort(403, "您的账号只能查看，要新建请联系管理员")
    with transaction(the_bot().sessions) as session:
        return _page(session, None, None, _NEW)


@bp.get("/<int:sop_id>/edit")
def edit(sop_id: int) -> Any:
    """The editor with the draft, or with what is in force when there is none."""
    if not who().may_write:
        abort(403, "您的账号只能查看，要修改请联系管理员")
    with transaction(the_bot().sessions) as session:
        sop = session.get(Sop, sop_id)
        if sop is None:
            abort(404)
        draft = _version(session, sop_id, VersionState.DRAFT)
        shown = draft or _version(session, sop_id, VersionState.PUBLISHED)
        if shown is None:
            return redirect(url_for("console.sops.one", sop_id=sop_id))
        spec = versions.spec_of(session, shown.id, with_keys=True)
        return _page(session, sop, draft, spec)


@bp.post("/draft")
def save() -> Any:
    """Keep the plan as the SOP's draft; nothing changes for anyone yet."""
    bot = the_bot()
    given = spec_form.read()
    with transaction(bot.sessions) as session:
        spec_form.check_audience(given.spec.get("audience"), conditions.load_lookup(session))
        draft = _save(session, given)
        warnings = versions.check(session, given.spec)
        audit.note(session, "sop.draft", f"sop:{draft.sop_id}", bot.clock.now(), name=given.name)
        return jsonify(
            sop_id=draft.sop_id,
            draft_id=draft.id,
            number=draft.number,
            warnings=warnings,
            edit_url=url_for("console.editor.edit", sop_id=draft.sop_id),
        )


@bp.post("/words")
def describe() -> Any:
    """What the trigger, the audience and each step mean, in sentences; writes nothing."""
    spec = request.get_json(silent=True)
    if not isinstance(spec, dict):
        abort(400)
    told: dict[str, Any] = {}
    with transaction(the_bot().sessions) as session:
        lookup = conditions.load_lookup(session)
        festivals = frozenset(session.scalars(select(FestivalDay.name).distinct()))
    try:
        audience = spec.get("audience")
        spec_form.check_audience(audience, lookup)
        told["audience"] = conditions.sentence(audience, lookup)
    except UserError as error:
        told["audience_error"] = error.message_zh
    known = {
        "tag": lookup.tags,
        "festival": festivals,
        "category": lookup.categories,
        "store": lookup.stores,
    }
    told["steps"] = step_words.told(spec.get("steps"), _entry(spec.get("trigger")))
    try:
        kept = triggers.check(spec.get("trigger"), known)
        told["trigger"] = triggers.of(kept).sentence(kept)
    except UserError as error:
        told["trigger_error"] = error.message_zh
    return jsonify(told)


@bp.get("/sample")
def sample() -> Any:
    """The talking points, filled for another customer."""
    bot = the_bot()
    number = max(0, request.args.get("number", 0, type=int))
    with transaction(bot.sessions) as session:
        return jsonify(sample_reading.read(session, number, business_day(bot.clock.now())))


@bp.post("/preview")
def show_preview() -> Any:
    """The next seven days as they would be, computed with the real plan and undone again."""
    bot = the_bot()
    given = spec_form.read()
    day = business_day(bot.clock.now())
    with bot.sessions() as session, session.begin() as undo:
        spec_form.check_audience(given.spec.get("audience"), conditions.load_lookup(session))
        _rename(session, given)
        found = preview.preview(session, given.spec, day, _PREVIEW_DAYS)
        changes = _differences(session, given)
        undo.rollback()
    with transaction(bot.sessions) as session:
        thing = f"sop:{given.sop_id or 'new'}"
        audit.note(session, "sop.preview", thing, bot.clock.now(), name=given.name)
    most = max((max(one.tasks, one.published_tasks) for one in found.days), default=0)
    return render_template(
        "console/sop_preview.html",
        preview=found,
        changes=changes,
        most=most or 1,
        kinds=step_kinds.KINDS,
        waiting=preview.WAITING,
    )


@bp.post("/<int:sop_id>/impact")
def impact(sop_id: int) -> Any:
    """Whom publishing the draft would touch, for each reach, to the customer; is it the first?"""
    bot = the_bot()
    found: dict[str, dict[str, Any]] = {}
    for reach in Reach:
        with bot.sessions() as session, session.begin() as undo:
            try:
                would = versions.impact(session, sop_id, reach, bot.clock.now())
                found[reach] = {"words": would.sentence(), "caught_up": would.caught_up}
            except UserError as error:
                found[reach] = {"error": error.message_zh}
            undo.rollback()
    with transaction(bot.sessions) as session:
        is_first = _version(session, sop_id, VersionState.PUBLISHED) is None
    return jsonify(**found, is_first=is_first)


@bp.post("/<int:sop_id>/publish")
def publish(sop_id: int) -> Any:
    """Publish exactly the draft the editor has seen, to the reach it chose."""
    bot = the_bot()
    body = request.get_json(silent=True)
    wanted = body.get("reach") if isinstance(body, dict) else None
    if wanted not in {one.value for one in Reach}:
        raise UserError("请选择对谁生效", field="reach")
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        sop = session.get(Sop, sop_id, with_for_update=True)
        if sop is None:
            abort(404)
        draft = _version(session, sop_id, VersionState.DRAFT)
        _refuse_stale(session, draft, body.get("draft_id") if isinstance(body, dict) else None)
        done = versions.publish(session, sop_id, Reach(wanted), who().actor, now)
        audit.note(
            session,
            "sop.publish",
            f"sop:{sop_id}",
            now,
            version=draft.number if draft else None,
            reach=wanted,
            impact=done.sentence(),
        )
    current_app.extensions.pop("console.numbers", None)
    return jsonify(words=done.sentence(), to=url_for("console.sops.one", sop_id=sop_id, did="live"))


def _page(session: Session, sop: Sop | None, draft: SopVersion | None, spec: Any) -> str:
    day = business_day(the_bot().clock.now())
    given = {
        "sop_id": sop.id if sop else None,
        "draft_id": draft.id if draft else None,
        "spec": {**spec, "audience": field_catalog.group_form(spec.get("audience"))},
        # Left as it is, a condition is sent back as it was written.
        "audience": spec.get("audience"),
        "told": step_words.told(spec["steps"], _entry(spec["trigger"])),
        "catalog": catalog.read(session),
        "sample": sample_reading.read(session, 0, day),
        "urls": {
            "save": url_for("console.editor.save"),
            "words": url_for("console.editor.describe"),
            "sample": url_for("console.editor.sample"),
            "preview": url_for("console.editor.show_preview"),
            "sops": url_for("console.sops.page"),
        },
    }
    live = _version(session, sop.id, VersionState.PUBLISHED) if sop else None
    return render_template("console/editor.html", sop=sop, draft=draft, live=live, given=given)


def _entry(trigger: Any) -> triggers.Trigger | None:
    kind = trigger.get("kind") if isinstance(trigger, dict) else None
    return triggers.TRIGGERS.get(kind) if isinstance(kind, str) else None


def _differences(session: Session, given: Submitted) -> tuple[str, ...] | None:
    """What the plan changes against what is in force, None if nothing is; undone by the caller."""
    draft = versions.save_draft(session, given.name, given.spec, None)
    told = version_words.history(session, draft.sop_id)
    is_live = any(one.state == VersionState.PUBLISHED for one in told)
    return told[0].changes if is_live else None


def _save(session: Session, given: Submitted) -> SopVersion:
    _rename(session, given)
    if given.sop_id is not None:
        _refuse_stale(session, _version(session, given.sop_id, VersionState.DRAFT), given.draft_id)
    return versions.save_draft(session, given.name, given.spec, who().actor)


def _rename(session: Session, given: Submitted) -> None:
    """Give the SOP its new name; a name that another one has is refused."""
    other = select(Sop).where(Sop.name == given.name, Sop.id != (given.sop_id or 0))
    if session.scalar(select(exists(other))):
        raise UserError(f"已经有一个叫「{given.name}」的 SOP 了", field="name")
    if given.sop_id is None:
        return
    sop = session.get(Sop, given.sop_id, with_for_update=True)
    if sop is None:
        raise UserError("这个 SOP 已经不存在了")
    sop.name = given.name
    session.flush()


def _refuse_stale(session: Session, draft: SopVersion | None, seen_id: Any) -> None:
    if (draft.id if draft else None) == seen_id:
        return
    by = actors.names(session, [draft.created_by]) if draft and draft.created_by else {}
    name = next(iter(by.values()), "别人")
    raise UserError(f"{name}刚刚改过这份草稿，请刷新页面看过再继续")


def _version(session: Session, sop_id: int, state: VersionState) -> SopVersion | None:
    return session.scalars(
        select(SopVersion).where(SopVersion.sop_id == sop_id, SopVersion.state == state)
    ).one_or_none()
