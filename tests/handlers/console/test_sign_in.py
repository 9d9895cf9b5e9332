"""Getting in and out: demo accounts, passwords, QR code; nothing opens without its key."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from bot.crm import operators
from bot.crm.models import Operator, OperatorRole
from tests.handlers.console.conftest import Desk, app_of

PASSWORD = "correct horse battery"


@pytest.fixture
def chen(session):
    operator = operators.save(
        session, "chen", name="陈静", role=OperatorRole.ADMIN, password=PASSWORD, userid="chenjing"
    )
    session.commit()
    return operator


def test_one_tap_signs_in_a_demo_account_in_the_sandbox(stranger):
    assert "陈静" in stranger.page("/console/sign-in")
    stranger.enter("demo-editor")
    assert "林晓" in stranger.page("/console/")


def test_demo_accounts_are_made_once(app, session):
    for _ in range(2):
        Desk(app).enter("demo-admin")
    assert len(session.scalars(select(Operator)).all()) == 1


def test_outside_the_sandbox_there_are_no_demo_accounts(bot):
    desk = Desk(app_of(replace(bot, settings=replace(bot.settings, sandbox=False))))
    assert "demo-admin" not in desk.page("/console/sign-in")
    assert desk.post("/console/sign-in/demo", account="demo-admin").status_code == 404
    assert desk.get("/console/").status_code == 302


def test_a_password_signs_in_and_leads_to_the_page_that_was_asked_for(stranger, chen):
    wanted = stranger.get("/console/sops/?q=新客")
    assert wanted.status_code == 302
    assert "next=" in wanted.location
    answer = stranger.post(
        "/console/sign-in", username="chen", password=PASSWORD, next="/console/sops/?q=1"
    )
    assert answer.location == "/console/sops/?q=1"
    assert "陈静" in stranger.page("/console/sops/")


def test_a_wrong_password_and_an_unknown_name_say_the_same(stranger, chen):
    first = stranger.post("/console/sign-in", username="chen", password="wrong")
    second = stranger.post("/console/sign-in", username="nobody", password="wrong")
    assert first.status_code == second.status_code == 400
    assert "账号或密码不对" in first.text
    assert "账号或密码不对" in second.text


def test_five_wrong_passwords_close_the_account(stranger, chen):
    for _ in range(5):
        stranger.post("/console/sign-in", username="chen", password="wrong")
    answer = stranger.post("/console/sign-in", username="chen", password=PASSWORD)
    assert "15 分钟后再试" in answer.text
    assert stranger.get("/console/").status_code == 302


def test_one_address_cannot_try_names_without_end(stranger):
    # A password of this length is refused before it is hashed: thirty tries take no time.
    codes = [
        stranger.post("/console/sign-in", username=f"n{n}", password="x" * 1001).status_code
        for n in range(32)
    ]
    assert codes[0] == 400
    assert codes[-1] == 429


def test_the_session_is_a_new_one_after_the_sign_in_and_dead_after_signing_out(app, chen):
    desk = Desk(app)
    desk.client.set_cookie("daogou_console", "chosen-by-an-attacker", path="/")
    desk.post("/console/sign-in", username="chen", password=PASSWORD)
    token = desk.client.get_cookie("daogou_console").value
    assert token != "chosen-by-an-attacker"
    desk.post("/console/sign-out")
    assert desk.client.get_cookie("daogou_console") is None
    desk.client.set_cookie("daogou_console", token, path="/")
    assert desk.get("/console/").status_code == 302


def test_an_operator_who_is_switched_off_is_out_at_the_next_click(stranger, session, chen):
    stranger.post("/console/sign-in", username="chen", password=PASSWORD)
    assert stranger.get("/console/").status_code == 200
    session.get_one(Operator, chen.id).is_active = False
    session.commit()
    assert stranger.get("/console/").status_code == 302


def test_the_cookie_is_closed_to_scripts_and_other_sites(stranger, chen):
    answer = stranger.post("/console/sign-in", username="chen", password=PASSWORD)
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if "daogou_console=" in c)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_over_https_the_cookie_is_bound_to_the_host(bot, chen):
    settings = replace(bot.settings, public_base_url="https://hq.example.cn")
    answer = Desk(app_of(replace(bot, settings=settings)))
    page = answer.get("/console/sign-in")
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-daogou-door=")
    assert "Secure" in cookie
    assert "Strict-Transport-Security" in page.headers


FOREIGN = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/console//evil.example",
    "/console/\\evil",
    "javascript:alert(1)",
    "/console/\r\nSet-Cookie: a=b",
    "/h5/",
    "console/",
    "/consoleevil",
    "http:/console/",
    "/console/\x00",
]


def test_the_way_on_after_the_sign_in_is_always_inside_the_console(stranger):
    for wanted in FOREIGN:
        answer = stranger.post("/console/sign-in/demo", account="demo-admin", next=wanted)
        assert answer.location == "/console/", wanted
        stranger.post("/console/sign-out")


def to_wecom(desk):
    answer = desk.get("/console/sign-in/wecom")
    assert answer.status_code == 302
    return parse_qs(urlsplit(answer.location).query)


def back(desk, state, code="code1"):
    return desk.get(f"/console/sign-in/wecom/return?state={state}&code={code}")


def test_the_qr_code_signs_in_whom_wecom_names_once(stranger, platform, chen):
    platform.on("auth/getuserinfo", lambda h: h.answer_json(userid="chenjing"))
    query = to_wecom(stranger)
    assert query["redirect_uri"] == ["http://127.0.0.1:8000/console/sign-in/wecom/return"]
    assert back(stranger, query["state"][0]).status_code == 302
    assert "陈静" in stranger.page("/console/")
    stranger.post("/console/sign-out")
    assert back(stranger, query["state"][0]).status_code == 403
    assert len(platform.calls("auth/getuserinfo")) == 1


def test_a_state_of_another_browser_opens_nothing(app, stranger, platform, chen):
    platform.on("auth/getuserinfo", lambda h: h.answer_json(userid="chenjing"))
    state = to_wecom(stranger)["state"][0]
    victim = Desk(app)
    to_wecom(victim)
    assert back(victim, state).status_code == 403
    assert back(Desk(app), state).status_code == 403
    assert back(victim, "").status_code == 403
    assert platform.calls("auth/getuserinfo") == []


def test_somebody_wecom_knows_but_hq_does_not_stays_outside(stranger, platform):
    platform.on("auth/getuserinfo", lambda h: h.answer_json(userid="somebody"))
    answer = back(stranger, to_wecom(stranger)["state"][0])
    assert answer.status_code == 403
    assert "还没有总部权限" in answer.text


def test_a_used_code_is_refused_with_one_sentence(stranger, platform, chen):
    platform.on("auth/getuserinfo", lambda h: h.answer_json(errcode=40029, errmsg="invalid code"))
    answer = back(stranger, to_wecom(stranger)["state"][0])
    assert answer.status_code == 403
    assert "请再试一次" in answer.text
