"""The JSON API of phones, world panel and tests: reading, and one door for acts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from bot.clock import business_day
from bot.errors import UserError
from bot.sandbox import (
    actors,
    guide_actors,
    kf_actors,
    knobs,
    mass_actors,
    official_account,
    phone_state,
    sms,
    till,
)
from bot.sandbox.town import Town

# name -> what a person does. The JSON body of POST /api/do/<name> is its keyword arguments.
ACTS: dict[str, Callable[..., Any]] = {
    "add_customer": Town.add_customer,
    "scan": actors.scan,
    "add_directly": actors.add_directly,
    "accept": actors.accept,
    "customer_deletes_guide": actors.customer_deletes_guide,
    "guide_deletes_customer": actors.guide_deletes_customer,
    "chat": actors.chat,
    "write_to_app": guide_actors.write_to_app,
    "enter_app": guide_actors.enter_app,
    "subscribe": guide_actors.subscribe,
    "click_card": guide_actors.click_card,
    "confirm_mass": mass_actors.confirm_mass,
    "publish_moment": mass_actors.publish_moment,
    "edit_remark": guide_actors.edit_remark,
    "edit_tags": guide_actors.edit_tags,
    "console_adds_tags": guide_actors.console_adds_tags,
    "console_renames_tag": guide_actors.console_renames_tag,
    "console_deletes_tag": guide_actors.console_deletes_tag,
    "kf_enter": kf_actors.enter,
    "kf_write": kf_actors.write,
    "kf_choose": kf_actors.choose,
    "kf_servicer_takes": kf_actors.servicer_takes,
    "kf_servicer_writes": kf_actors.servicer_writes,
    "kf_servicer_ends": kf_actors.servicer_ends,
    "buy": till.buy,
    "refund": till.refund,
    "enroll": till.enroll,
    "fill_cart": till.fill_cart,
    "end_cart": till.end_cart,
    "change_points": till.change_points,
    "tell_coupon": till.tell_coupon,
    "visit": till.visit,
    "view": till.view,
    "move_order": till.move_order,
    "merge_cards": till.merge_cards,
    "opt_out": till.opt_out,
    "sms_reply": sms.reply,
    "mp_subscribe": official_account.subscribe,
    "mp_unsubscribe": official_account.unsubscribe,
    "turn_knobs": knobs.turn,
    "reset_knobs": knobs.reset,
    "add_fault": knobs.add_fault,
    "clear_faults": knobs.clear_faults,
    "expire_tokens": knobs.expire_tokens,
}
_MOST_DAYS = 400


def blueprint(town: Town) -> Blueprint:
    """The /api blueprint of one town. Errors are 400 {"error": one Chinese sentence, "field"}."""
    api = Blueprint("sandbox_api", __name__, url_prefix="/api")

    @api.errorhandler(UserError)
    def refuse(error: UserError) -> tuple[Response, int]:
        return jsonify(error=error.message_zh, field=error.field), 400

    @api.get("/version")
    def version() -> Response:
        return jsonify(version=town.version(), now=town.now())

    @api.get("/world")
    def world() -> Response:
        search = phone_state.must_search(request.args.get("q", ""))
        return _since(town, lambda: phone_state.world(town, search))

    @api.get("/customer/<external_userid>")
    def customer(external_userid: str) -> Response:
        return _since(town, lambda: phone_state.customer_phone(town, external_userid))

    @api.get("/guide/<userid>")
    def guide(userid: str) -> Response:
        return _since(town, lambda: phone_state.guide_phone(town, userid))

    @api.get("/chat/<userid>/<external_userid>")
    def chat(userid: str, external_userid: str) -> Response:
        return _since(
            town, lambda: {"messages": phone_state.chat_of(town, userid, external_userid)}
        )

    @api.get("/effects")
    def effects() -> Response:
        since = request.args.get("since", "0")
        found = town.effects(request.args.get("kind"), since=int(since) if since.isdecimal() else 0)
        return jsonify(
            effects=[
                {
                    "id": one.id,
                    "at": one.at.timestamp(),
                    "kind": one.kind,
                    "who": one.who,
                    "external_userid": one.external_userid,
                    "payload": one.payload,
                }
                for one in found
            ]
        )

    @api.post("/do/<act>")
    def do(act: str) -> Response:
        return jsonify(result=perform(town, act, _body()))

    @api.post("/clock")
    def clock() -> Response:
        by = timedelta(**_span(_body()))
        knobs.let_pass(town, by)
        return jsonify(now=town.now(), day=business_day(town.clock.now()).isoformat())

    @api.post("/night")
    def night() -> tuple[Response, int]:
        return _ring(town, town.config.on_night)

    @api.post("/morning")
    def morning() -> tuple[Response, int]:
        return _ring(town, town.config.on_morning)

    return api


def _since(town: Town, look: Callable[[], dict[str, Any]]) -> Response:
    """A look with the version it belongs to; `?since=` the same version costs one small read."""
    version = town.version()
    if request.args.get("since") == str(version):
        return jsonify(version=version, unchanged=True)
    return jsonify(version=version, **look())


def _body() -> dict[str, Any]:
    # Only JSON is taken: a page of another site cannot send that without asking first.
    body = request.get_json(silent=True) if request.is_json else None
    if not isinstance(body, dict):
        raise UserError("请用 JSON 对象提交。")
    return body


def perform(town: Town, act: str, body: dict[str, Any]) -> Any:
    """Do one act by name; unknown names, missing or wrong arguments change nothing."""
    work = ACTS.get(act)
    if work is None:
        raise UserError("没有这个动作。")
    try:
        inspect.signature(work).bind(town, **body)
    except TypeError as error:
        raise UserError("这个动作的参数不对。") from error
    for name, parameter in inspect.signature(work).parameters.items():
        if name in body and not _fits(str(parameter.annotation), body[name]):
            raise UserError(f"{name} 的类型不对。", field=name)
    return work(town, **body)


def _fits(annotation: str, value: Any) -> bool:
    """Whether a JSON value may stand for a parameter annotated like this."""
    if annotation.endswith(" | None"):
        return value is None or _fits(annotation.removesuffix(" | None"), value)
    if annotation == "Sequence[str]":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if annotation.startswith("Sequence[Mapping"):
        return isinstance(value, list) and all(isinstance(one, dict) for one in value)
    if annotation.startswith("Mapping"):
        return isinstance(value, dict)
    if annotation == "int" or annotation == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation == "bool":
        return isinstance(value, bool)
    # A knob checks its own type; a moment (datetime) cannot be written in JSON.
    return isinstance(value, str) if annotation == "str" else annotation == "Any"


def _span(body: dict[str, Any]) -> dict[str, float]:
    span = {key: body.get(key, 0) for key in ("days", "hours", "minutes", "seconds")}
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in span.values()):
        raise UserError("时间要用数字。")
    total = timedelta(**span)
    if not timedelta(0) <= total <= timedelta(days=_MOST_DAYS):
        raise UserError(f"时间只能往前走，一次最多 {_MOST_DAYS} 天。")
    return span


def _ring(town: Town, hook: Callable[[date], None] | None) -> tuple[Response, int]:
    if hook is None:
        return jsonify(error="这里没有可以敲的钟。"), 404
    body = request.get_json(silent=True)
    text = body.get("day") if isinstance(body, dict) else None
    try:
        day = date.fromisoformat(text) if text else business_day(town.clock.now())
    except (TypeError, ValueError) as error:
        raise UserError("日期要写成 2026-11-21 这样。", field="day") from error
    hook(day)
    return jsonify(day=day.isoformat()), 200
