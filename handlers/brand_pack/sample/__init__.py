"""The sample brand 星河珠宝: a pack (`xinghe.yaml`) and a few thousand believable people.

It is loaded once, at the first start in sandbox mode. Every part is idempotent and the mark is
written last, so a start that was killed in the middle is simply done again.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import date, timedelta
from importlib import resources
from typing import Any

import yaml
from sqlalchemy import select

from bot import runs
from bot.bot import Bot
from bot.clock import business_day
from bot.crm import intake, sync
from bot.db import transaction
from bot.sandbox.config import SandboxConfig
from bot.sandbox.official_account import openid_of
from bot.sandbox.populate import populate
from bot.sandbox.town import Town
from handlers import brand_pack, timetable
from handlers.brand_pack.sample import people
from tagging import corp_tags, rules, scores

log = logging.getLogger(__name__)

_EVENTS_PER_BATCH = 1_000
# The run that marks each half as done; the day is only there because a run has one.
_LOADED, _SETTLED = "sample-loaded", "sample-settled"
_MARK_DAY = date(2026, 1, 1)
# The sample's SOPs were published this long ago, so that yesterday's purchases count.
_PUBLISHED_AGO = timedelta(days=30)
# Its rules ran so long ago that no SOP takes their tags for new (catch-up reaches back 3 days).
_RULES_AGO = timedelta(days=4)
_OPEN_KFID = "wkXingheCustomerService"
# Two who are no members yet: for them everything begins with the scan.
_STRANGERS: tuple[dict[str, Any], ...] = (
    {"external_userid": "wmStranger0001", "name": "小满", "gender": 2, "featured": True},
    {"external_userid": "wmStranger0002", "name": "阿远", "gender": 1, "featured": True},
)
# How many people stand by in the world panel, not yet anybody's customer.
_PASSERS_BY = 12


def pack_text() -> str:
    """The sample pack as it is shipped."""
    return resources.files(__name__).joinpath("xinghe.yaml").read_text(encoding="utf-8")


def load_once(bot: Bot, config: SandboxConfig) -> bool:
    """Load the pack, the facts and the pretend town; False: they were there already."""
    if _is_marked(bot, _LOADED):
        return False
    pack = yaml.safe_load(pack_text())
    today = business_day(bot.clock.now())
    persons = people.people(pack, today)
    with transaction(bot.sessions) as session:
        published = bot.clock.now() - _PUBLISHED_AGO
        brand_pack.load(session, pack_text(), by="system:sample", now=published)
    batch = _with_openids(people.events(persons, today), persons)
    for start in range(0, len(batch), _EVENTS_PER_BATCH):
        with transaction(bot.sessions) as session:
            result = intake.receive(
                session,
                batch[start : start + _EVENTS_PER_BATCH],
                now=bot.clock.now(),
                secret_key=bot.settings.secret_key,
            )
        if result.rejected:
            raise ValueError(f"the sample brand has a wrong event: {result.rejected[0]}")
    town = Town(config)
    populate(
        town,
        regions=pack["regions"],
        stores=pack["stores"],
        guides=pack["guides"],
        customers=[*_STRANGERS, *_customers(persons)],
    )
    servicers = [guide["userid"] for guide in pack["guides"]]
    town.add_kf_account("星河珠宝客服", open_kfid=_OPEN_KFID, servicers=servicers)
    _mark(bot, _LOADED)
    return True


def is_settled(bot: Bot) -> bool:
    """Whether the second half was done."""
    return _is_marked(bot, _SETTLED)


def settle_once(bot: Bot) -> bool:
    """Read the town through the platform's API and run the first night; False: done before."""
    if _is_marked(bot, _SETTLED):
        return False
    sync.sync(bot.gateway, bot.sessions, bot.clock, secret_key=bot.settings.secret_key)
    with transaction(bot.sessions) as session:
        corp_tags.adopt_corp_tags(session, bot.gateway.corp_tags())
    today = business_day(bot.clock.now())
    with transaction(bot.sessions) as session:
        # The sample did not begin this morning: who has long been of high value is no news today.
        before = today - _RULES_AGO
        scores.refresh(session, before)
        rules.apply(session, before)
    timetable.run_now(bot, "nightly", today)
    _mark(bot, _SETTLED)
    return True


def _customers(persons: list[people.Person]) -> list[dict[str, Any]]:
    passers_by = 0
    found = []
    for person in persons:
        is_passer_by = person.followed_at is None and passers_by < _PASSERS_BY
        passers_by += is_passer_by
        if person.followed_at is None and not is_passer_by:
            continue  # A member who never came to WeCom is nobody the platform knows.
        friend = {
            "userid": person.guide,
            "since": person.followed_at,
            "state": person.state or "",
            "add_way": 1 if person.state else 3,
            "remark": person.name,
        }
        found.append(
            {
                "external_userid": external_userid(person),
                "name": person.nickname,
                "gender": person.gender,
                "unionid": person.unionid,
                "mobile": person.mobile,
                "member_no": person.member_no,
                "featured": is_passer_by,
                "friends": [] if person.followed_at is None else [friend],
            }
        )
    return found


def _with_openids(
    batch: list[dict[str, Any]], persons: list[people.Person]
) -> list[dict[str, Any]]:
    """Cards of those who came to WeCom are bound to the brand's official account as well."""
    openids = {
        f"member-{person.member_no}": openid_of(external_userid(person))
        for person in persons
        if person.followed_at is not None
    }
    return [
        {**event, "openid": openids[event["id"]]} if event["id"] in openids else event
        for event in batch
    ]


def external_userid(person: people.Person) -> str:
    """The id under which the pretend platform knows a person; the same at every start."""
    return "wm" + hashlib.sha256(person.member_no.encode("ascii")).hexdigest()[:30]


def _is_marked(bot: Bot, job: str) -> bool:
    with bot.sessions() as session:
        state = session.scalar(
            select(runs.JobRun.state).where(runs.JobRun.job == job, runs.JobRun.day == _MARK_DAY)
        )
    return state == runs.RunState.DONE


def _mark(bot: Bot, job: str) -> None:
    with transaction(bot.sessions) as session:
        session.merge(runs.JobRun(job=job, day=_MARK_DAY, state=runs.RunState.DONE))
