"""doctor names what is held up, why, and what to do about it."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text, update

from bot import leases, outbox
from bot.crm import intake
from bot.crm.models import Brand, CalendarDay
from bot.db import create_database_engine, create_sessions, transaction
from bot.settings import SmsSettings
from bot.sms import SmsCarrier
from bot.wecom.gateway import Gateway
from bot.wecom.tokens import TokenStore
from content_library.models import ChannelTemplate
from handlers import doctor, web
from sop import versions
from sop.models import Reach
from tests.factories import Make


def _pause(bot, *, is_held: bool, reason: str) -> None:
    with transaction(bot.sessions) as session:
        outbox.add(session, kind="alert", api="message/send", body=b"{}", dedupe_key=reason)
        session.execute(text("UPDATE outbox SET last_errcode = 60020"))
        wait = timedelta(minutes=5)
        leases.pause_api(session, "message/send", wait=wait, reason=reason, is_held=is_held)


def test_without_a_pause_there_is_nothing_to_tell(bot):
    assert doctor.pauses(bot).state == "ok"


def test_an_api_that_is_held_is_named_with_the_reason_and_the_advice(bot):
    _pause(bot, is_held=True, reason="NotConfigured: not allow to access from your ip")
    found = doctor.pauses(bot)
    assert found.state == "fail"
    assert "message/send" in found.found
    assert "not allow to access from your ip" in found.found
    assert "IP" in found.next_step


def test_an_api_that_waits_out_a_limit_is_only_a_warning(bot):
    _pause(bot, is_held=False, reason="RateLimited: api freq out of limit")
    assert doctor.pauses(bot).state == "warn"


def test_a_pause_that_is_over_is_not_told(bot):
    _pause(bot, is_held=True, reason="NotConfigured: x")
    with transaction(bot.sessions) as session:
        assert leases.resume_api(session, "message/send")
    assert doctor.pauses(bot).state == "ok"


@pytest.fixture
def stranded(bot, free_address):
    """The same installation, whose database has gone away."""
    engine = create_database_engine(free_address)
    sessions = create_sessions(engine, bells=bot.bells)
    gateway = Gateway(
        bot.settings.wecom,
        tokens=TokenStore(sessions, bot.settings.secret_key),
        limiter=None,
        clock=bot.clock,
    )
    yield replace(bot, engine=engine, sessions=sessions, gateway=gateway)
    gateway.close()
    engine.dispose()


@pytest.fixture
def free_address():
    """An address on this machine at which no database answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/none"


def _states(findings):
    return {one.name: one.state for one in findings}


def test_everything_is_told_although_the_database_is_away(stranded, platform):
    findings = doctor.examine(stranded)
    states = _states(findings)
    assert states["数据库"] == "fail"
    assert {states[name] for name in ("企业与密钥", "通讯录", "客户联系", "回调")} == {"skip"}
    assert states["磁盘"] == "ok"
    assert "内容" not in states
    assert platform.asked == []


def test_a_database_that_goes_away_during_a_check_is_that_checks_finding(bot, engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE inbox RENAME TO lost"))
        connection.execute(text("ALTER TABLE welcome_message RENAME TO lost_too"))
    states = _states(doctor.examine(bot))
    assert (states["回调"], states["内容"], states["失败的消息"]) == ("fail", "fail", "fail")
    assert states["暂停的接口"] == "ok"


@pytest.mark.parametrize(
    ("version", "state", "step"),
    [("0000", "warn", "程序"), (None, "fail", "daogou migrate")],
)
def test_a_structure_that_does_not_fit_is_a_finding_with_the_next_step(
    bot, engine, version, state, step
):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if version:
            connection.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": version})
    found = doctor.examine(bot)[0]
    assert (found.name, found.state) == ("数据库", state)
    assert step in found.next_step


def test_a_new_secret_key_neither_hangs_nor_fails(bot):
    bot.gateway.callback_ips()
    settings = replace(bot.settings, secret_key="a rotated key, of which nobody knew before")
    gateway = Gateway(
        settings.wecom,
        tokens=TokenStore(bot.sessions, settings.secret_key),
        limiter=None,
        clock=bot.clock,
    )
    began = time.monotonic()
    states = _states(doctor.examine(replace(bot, settings=settings, gateway=gateway)))
    gateway.close()
    assert time.monotonic() - began < 5
    assert states["企业与密钥"] == "ok"


def test_the_token_of_the_metrics_is_told(bot):
    (found,) = [one for one in doctor.examine(bot) if one.name == "监控"]
    assert f"Bearer {web.metrics_token(bot.settings.secret_key)}" in found.found


def test_checks_after_a_refused_secret_are_skipped_and_our_own_are_made(bot, platform):
    platform.on("gettoken", lambda h: h.answer_json(errcode=40001, errmsg="invalid credential"))
    states = _states(doctor.examine(bot))
    assert (states["企业与密钥"], states["通讯录"], states["回调"]) == ("fail", "skip", "skip")
    assert states["失败的消息"] == "ok"


def _publish_sms(bot):
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        template = {"name": "短", "channel": "sms", "code": "S1", "signature": "星河珠宝"}
        make._add(ChannelTemplate(**template, text="您好，退订回T"))
        step = {"day": 0, "kind": "sms", "title": "短信", "template": "短"}
        spec = {"name": "回访", "trigger": {"kind": "followed"}, "steps": [step]}
        draft = versions.save_draft(session, "回访", spec, "test")
        versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "test", bot.clock.now())


def test_channels_nobody_needs_may_be_missing_and_those_an_sop_sends_by_may_not(bot):
    assert (doctor._carriers(bot).state, doctor._carriers(bot).next_step) == ("ok", "")
    _publish_sms(bot)
    found = doctor._carriers(bot)
    assert found.state == "fail"
    assert "短信步骤" in found.found
    assert "SMS_*" in found.next_step


def test_a_channel_that_does_not_let_us_in_is_named(bot, free_address):
    address = free_address.split("@")[1].split("/")[0]
    given = SmsSettings(f"http://{address}", "xinghe", "secret")
    carrier = SmsCarrier(given, lambda sealed: "")
    broken = replace(bot, settings=replace(bot.settings, sms=given), carriers={"sms": carrier})
    found = doctor._carriers(broken)
    assert found.state == "fail"
    assert "短信不可用" in found.found
    carrier.close()


def test_working_days_that_nobody_wrote_yet_are_asked_for(bot):
    assert doctor._workdays(bot).state == "warn"
    with transaction(bot.sessions) as session:
        for year in (bot.clock.now().year, bot.clock.now().year + 1):
            Make(session)._add(CalendarDay(day=date(year, 1, 1), is_workday=False))
    assert doctor._workdays(bot).state == "ok"


def test_a_changed_secret_key_is_found_before_every_customer_becomes_a_stranger(bot):
    assert doctor.mobile_key(bot).found == "还没有手机号"
    told = {"member_no": "M1", "mobile": "13800001234", "birthday": "05-20"}
    now, key = bot.clock.now(), bot.settings.secret_key
    told |= {"id": "m1", "source": "pos", "type": "member", "occurred_at": now.isoformat()}
    with transaction(bot.sessions) as session:
        assert intake.receive(session, [told], now=now, secret_key=key).accepted == 1
    assert doctor.mobile_key(bot).state == "ok"
    other = replace(bot, settings=replace(bot.settings, secret_key="k" * 48))
    found = doctor.mobile_key(other)
    assert (found.state, "SECRET_KEY" in found.next_step) == ("fail", True)


def _ready(bot, **given):
    """A published SMS step whose template holds what the provider gave."""
    _publish_sms(bot)
    with transaction(bot.sessions) as session:
        for name, value in given.items():
            session.execute(update(ChannelTemplate).values({name: value}))
    return doctor._plan_needs(bot)


def test_an_sop_whose_templates_are_filled_in_needs_nothing(bot):
    assert doctor._plan_needs(bot).state == "ok"
    assert _ready(bot).state == "ok"


@pytest.mark.parametrize(
    ("given", "said", "step"),
    [
        ({"is_active": False}, "「回访」的「短信」用的短信模板没有了", "sms_templates"),
        ({"signature": None}, "短信模板「短」还没有填短信签名", "signature"),
        ({"signature": "品牌签名"}, "短信模板「短」还没有填短信签名", "signature"),
        ({"code": "SMS_BIRTHDAY"}, "短信模板「短」的 code 还是起步包里的示例", "code"),
        ({"code": " "}, "code 还是起步包里的示例", "模板编号"),
        ({"channel": "template_message", "code": "WX_RECALL"}, "公众号模板「短」", "公众号后台"),
        ({"data": {"survey": "{问卷链接}"}}, "SOP「回访」要发问卷", "survey_url"),
        ({"text": "请填 { 问卷链接 }"}, "SOP「回访」要发问卷", "survey_url"),
    ],
)
def test_what_a_published_step_lacks_is_a_warning_with_the_next_step(bot, given, said, step):
    found = _ready(bot, **given)
    assert found.state == "warn"
    assert said in found.found
    assert step in found.next_step


def test_a_survey_with_an_address_is_no_lack(bot):
    found = _ready(bot, data={"survey": "{问卷链接}"})
    assert found.state == "warn"
    with transaction(bot.sessions) as session:
        session.execute(update(Brand).values(settings={"survey_url": "https://example.com/s"}))
    assert doctor._plan_needs(bot).state == "ok"


def test_the_pretend_carriers_of_the_sandbox_take_the_samples(bot):
    assert _ready(bot, code="SMS_BIRTHDAY").state == "warn"
    pretending = replace(bot, settings=replace(bot.settings, sandbox=True))
    assert doctor._plan_needs(pretending).state == "ok"
