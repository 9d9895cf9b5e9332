"""The doors of the product (门), as the people of the model use them: WeCom, till, chat, clock."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from time import monotonic
from typing import Any

import yaml

from bot.clock import SHANGHAI
from bot.crm import sync
from bot.sandbox import actors, guide_actors, mass_actors
from bot.sandbox.official_account import openid_of
from bot.sandbox.populate import populate
from handlers import timetable
from tests.year.model import facts
from tests.year.model.facts import CODES, Guide, Happening, Town
from tests.world import World

_BATCH = 800
_WEEKDAYS = "一二三四五六日"
_UNDERSTOOD = ("记下了", "好的", "约好了")
_PATIENCE = 20.0


def organisation(town: Town) -> str:
    """HQ's own pack: stores, guides, codes; what the starter pack is loaded beside."""
    stores = {guide.store: guide for guide in town.guides}
    userids = [guide.userid for guide in town.guides]
    pack = {
        "brand": "星河珠宝",
        "regions": [{"code": "east", "name": "华东"}],
        "stores": [_store(guide) for guide in stores.values()],
        "guides": [_guide(guide) for guide in town.guides],
        "workdays": [{"on": on, "work": work} for on, work in town.workdays.items()],
        "tag_groups": [{"name": "渠道", "tags": ["异业"]}, {"name": "意向", "tags": ["结婚选款"]}],
        "welcome_messages": [
            {"name": "默认欢迎", "default": True, "text": "您好，我是{门店名}的{导购名}。"}
        ],
        "channel_codes": [
            {"name": state, "state": state, "guides": userids, "tags": [tag], "skip_verify": True}
            for state, tag in CODES.items()
        ],
    }
    return yaml.safe_dump(pack, allow_unicode=True, sort_keys=False)


def store_code(store: int) -> str:
    """How the till calls a store."""
    return f"S{store:03}"


def _store(guide: Guide) -> dict[str, Any]:
    number = guide.store
    hours = {"hours": "{:%H:%M}-{:%H:%M}".format(*guide.hours)} if guide.hours else {}
    about = {"name": f"{number}号店", "region": "east", "tier": guide.store_tier}
    return {"code": store_code(number), **about, **hours}


def _guide(guide: Guide) -> dict[str, Any]:
    off = {"off": [f"周{_WEEKDAYS[guide.rest_weekday - 1]}"]} if guide.rest_weekday else {}
    return {
        "userid": guide.userid,
        "name": f"导购{guide.number:03}",
        "store": store_code(guide.store),
    } | off


class Doors:
    """One installation with its sandbox, and the ways into it."""

    def __init__(self, world: World, town: Town) -> None:
        self.world, self._town = world, town
        self._answers = 0

    def now(self) -> datetime:
        """The moment on the wall clock of Shanghai."""
        return self.world.now().astimezone(SHANGHAI).replace(tzinfo=None)

    def wait_until(self, day: date, clock: time) -> datetime:
        """Let time pass until then; everything due before is done."""
        self.world.sleep_until(day, clock.hour, clock.minute)
        return datetime.combine(day, clock)

    # -- WeCom -----------------------------------------------------------------------------

    def settle_there(self, friends: Sequence[Happening]) -> None:
        """The town's people, with the friendships from before the story."""
        known: dict[int, list[dict[str, Any]]] = {number: [] for number in self._town.people}
        for one in friends:
            code = one.body["code"]
            known[one.number].append(
                {
                    "userid": self._userid(one.body["guide"]),
                    "since": one.at.replace(tzinfo=SHANGHAI),
                    "state": code or "",
                }
            )
        populate(
            self.world.town,
            customers=[
                {
                    "external_userid": facts.external_userid(number),
                    "name": facts.name(number),
                    "mobile": facts.mobile(number),
                    "friends": found,
                }
                for number, found in known.items()
            ],
        )

    def sync(self) -> None:
        """`daogou sync`: who follows whom is read from WeCom."""
        bot = self.world.bot
        sync.sync(bot.gateway, bot.sessions, bot.clock, secret_key=bot.settings.secret_key)

    def meet(self, one: Happening) -> Happening:
        """A guide and a customer come together or part; returns it with its own moment."""
        town, guide = self.world.town, self._userid(one.body["guide"])
        who = facts.external_userid(one.number)
        moment = self.now().replace(microsecond=0)
        if one.kind == "customer_deletes":
            actors.customer_deletes_guide(town, who, guide)
        elif one.kind == "guide_deletes":
            actors.guide_deletes_customer(town, guide, who)
        elif one.body["code"] is None:
            actors.add_directly(town, guide, who)
            actors.accept(town, guide, who)
        else:
            actors.scan(town, who, state=one.body["code"], userid=guide)
            actors.accept(town, guide, who)
        self.world.settle()
        return replace(one, at=moment)

    def _userid(self, number: int) -> str:
        return self._town.guides[number].userid

    # -- the till --------------------------------------------------------------------------

    def post(self, happened: Iterable[Happening], *, shuffled: bool = True) -> None:
        """POST /api/v1/events; in any order, for that must not matter."""
        events = [_event(one) for one in happened]
        if shuffled:
            random.Random(len(events)).shuffle(events)
        for start in range(0, len(events), _BATCH):
            batch = events[start : start + _BATCH]
            status, answer = self.world.post_events(batch)
            assert (status, answer.get("accepted"), answer.get("rejected")) == (
                200, len(batch), [],
            ), answer  # fmt: skip

    # -- the chat and the guide's phone ------------------------------------------------------

    def write(self, lines: Sequence[tuple[int, str]]) -> None:
        """Guides write to the app, and each is understood."""
        for guide, words in lines:
            guide_actors.write_to_app(self.world.town, self._userid(guide), words)
        deadline = monotonic() + _PATIENCE
        kind: list[str] = []
        while len(kind) < len(lines):
            # An answer that goes back with the letter arrives a moment after it.
            assert monotonic() < deadline, (lines, kind, self._texts())
            self.world.settle()
            kind = [text for text in self._texts() if text.startswith(_UNDERSTOOD)]
        self.skip_answers()

    def _texts(self) -> list[str]:
        found = self.world.town.effects("app_message", since=self._answers)
        return [
            str(one.payload["content"]["content"])
            for one in found
            if one.payload["msgtype"] == "text"
        ]

    def confirm(self, guides: Iterable[int]) -> None:
        """Guides confirm the mass messages that wait for them."""
        for guide in sorted(guides):
            mass_actors.confirm_mass(self.world.town, self._userid(guide))

    # -- the clock -------------------------------------------------------------------------

    def look(self) -> None:
        """The clock looks at its timetable, and what is due is done."""
        timetable.look(self.world.bot)
        self.world.settle()

    def skip_answers(self) -> None:
        """What the app has said until now was no answer to anybody."""
        found = self.world.town.effects("app_message", since=self._answers)
        self._answers = max((one.id for one in found), default=self._answers)


def _event(one: Happening) -> dict[str, Any]:
    """What a till or mall posts of a happening."""
    who: dict[str, str] = {"external_userid": facts.external_userid(one.number)}
    if one.body.get("is_other"):
        who = {"member_no": _card(one.number, other=True)}
    return {
        "source": "pos",
        "id": f"{one.number}-{one.kind}-{one.at:%Y%m%d%H%M}-{_id(one)}",
        "occurred_at": one.at.replace(tzinfo=SHANGHAI).isoformat(),
        "who": who,
        **_BODIES[one.kind](one.number, **one.body),
    }


def _id(one: Happening) -> str:
    for key in ("order_no", "cart_id", "id", "coupon_no", "channel"):
        if key in one.body:
            return str(one.body[key])
    return ""


def _card(number: int, *, other: bool = False) -> str:
    return f"{'N' if other else 'M'}{number:06}"


def _member(number: int, **given: Any) -> dict[str, Any]:
    month, day, is_lunar = given["birthday"]
    body = {
        "type": "member",
        "member_no": _card(number),
        "birthday": f"{month:02}-{day:02}",
        "birthday_is_lunar": is_lunar,
        "registered_on": given["registered_on"].isoformat(),
    }
    if given["wedding"] is not None:
        body["wedding_day"] = given["wedding"].isoformat()
    if given["has_mobile"]:
        body["mobile"] = facts.mobile(number)
    if given["has_openid"]:
        body["openid"] = openid_of(facts.external_userid(number))
    return body


def _line(category: str, fen: int) -> dict[str, Any]:
    return {"name": f"{category}款", "category": category, "quantity": 1, "amount_fen": fen}


def _purchase(number: int, *, order_no: str, fen: int, category: str, **_: Any) -> dict[str, Any]:
    lines = [_line(category, fen)]
    return {"type": "purchase", "order_no": order_no, "lines": lines, "amount_fen": fen}


def _points(number: int, *, id: str, delta: int, expires_on: date | None) -> dict[str, Any]:
    ends = {"expires_on": expires_on.isoformat()} if expires_on else {}
    return {"type": "points", "delta": delta} | ends


_BODIES: dict[str, Any] = {
    "member": _member,
    "purchase": _purchase,
    "refund": lambda number, order_no, fen, **_: {
        "type": "refund", "order_no": order_no, "amount_fen": fen,
    },
    "moved": lambda number, order_no, **_: {
        "type": "purchase_moved", "order_no": order_no, "store": store_code(0),
    },
    "merged": lambda number: {
        "type": "member_merged", "member_no": _card(number),
        "merged_member_no": _card(number, other=True),
    },
    "cart": lambda number, cart_id, fen: {
        "type": "cart", "cart_id": cart_id, "state": "added", "lines": [_line("对戒", fen)],
    },
    "cart_removed": lambda number, cart_id: {
        "type": "cart", "cart_id": cart_id, "state": "removed",
    },
    "points": _points,
    "coupon_issued": lambda number, coupon_no, template, expires_on: {
        "type": "coupon", "coupon_no": coupon_no, "state": "issued", "template": template,
        "value_fen": 10_000, "expires_on": expires_on.isoformat(),
    },
    "coupon_redeemed": lambda number, coupon_no: {
        "type": "coupon", "coupon_no": coupon_no, "state": "redeemed",
    },
    "visit": lambda number, how, store=0: {
        "type": "visit", "store": store_code(store), "kind": how,
    },
    "view": lambda number, seconds: {"type": "view", "material": "对戒图册", "seconds": seconds},
    "opt_out": lambda number, channel, is_out: {
        "type": "opt_out", "channel": channel, "is_out": is_out,
    },
}  # fmt: skip
