"""A guide comes in through WeCom only, as herself only, and ends on our own pages only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from bot.bot import Bot
from bot.crm import sign_ins
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from tests.bot.wecom.scripted import Platform
from tests.factories import Make
from tests.handlers.h5.conftest import COOKIE, StillClock

Enter = Callable[[Any], FlaskClient]


def answers(platform: Platform, **who: str) -> None:
    platform.on("auth/getuserinfo", lambda handler: handler.answer_json(**who))


def depart(client: FlaskClient, wanted: str = "/h5/contacts") -> str:
    """Set out; returns the state that WeCom sends back."""
    away = client.get("/h5/login", query_string={"next": wanted})
    assert away.status_code == 302
    target = urlsplit(away.location)
    query = parse_qs(target.query)
    assert query["redirect_uri"] == ["http://127.0.0.1:8000/h5/login/return"]
    assert query["scope"] == ["snsapi_base"]
    return query["state"][0]


def arrive(client: FlaskClient, state: str, code: str = "CODE", **more: str) -> TestResponse:
    return client.get("/h5/login/return", query_string={"state": state, "code": code, **more})


@pytest.fixture
def guide(make: Make, session: Session) -> Any:
    guide = make.guide(userid="LiHua", name="李华")
    session.commit()
    return guide


def test_a_guide_is_sent_to_wecom_and_comes_back_to_the_page_she_wanted(
    client: FlaskClient, platform: Platform, guide: Any
) -> None:
    answers(platform, userid="lihua")  # WeCom compares userids without case.
    away = client.get("/h5/today?day=2026-11-21")
    assert away.location == "/h5/login?next=/h5/today?day%3D2026-11-21"
    back = arrive(client, depart(client, "/h5/today?day=2026-11-21"))
    assert (back.status_code, back.location) == (302, "/h5/today?day=2026-11-21")
    assert client.get("/h5/today").status_code == 200
    assert platform.calls("auth/getuserinfo")[0].query["code"] == "CODE"


def test_the_cookie_is_hidden_from_scripts_and_other_sites(
    client: FlaskClient, platform: Platform, guide: Any
) -> None:
    answers(platform, userid="LiHua")
    cookies = arrive(client, depart(client)).headers.getlist("Set-Cookie")
    ours = next(one for one in cookies if one.startswith(COOKIE + "="))
    assert "HttpOnly" in ours
    assert "SameSite=Lax" in ours


def test_a_state_works_once_in_the_browser_that_set_out_and_for_five_minutes(
    client: FlaskClient, app: Any, platform: Platform, guide: Any, clock: StillClock
) -> None:
    answers(platform, userid="LiHua")
    state = depart(client)
    assert arrive(app.test_client(), state).status_code == 403
    assert arrive(client, "0" * 32).status_code == 403
    assert arrive(client, state).status_code == 302
    client.delete_cookie(COOKIE)
    assert arrive(client, state).status_code == 403
    late = depart(client)
    clock.turn(minutes=5, seconds=1)
    assert arrive(client, late).status_code == 403
    assert client.get("/h5/today").status_code == 302


def test_only_an_active_guide_named_by_wecom_comes_in(
    client: FlaskClient, platform: Platform, make: Make, session: Session, guide: Any
) -> None:
    make.guide(userid="gone", is_active=False)
    session.commit()
    strangers: tuple[dict[str, str], ...] = (
        {},
        {"openid": "LiHua"},
        {"external_userid": "LiHua"},
        {"userid": "nobody"},
        {"userid": "gone"},
    )
    for who in strangers:
        answers(platform, **who)
        refused = arrive(client, depart(client), userid="LiHua")
        assert refused.status_code == 403, who
        assert "errcode" not in refused.text
        again = client.get("/h5/today?userid=LiHua", headers={"X-User-Id": "LiHua"})
        assert again.status_code == 302, who


def test_a_code_that_wecom_refuses_opens_nothing(
    client: FlaskClient, platform: Platform, guide: Any
) -> None:
    platform.on("auth/getuserinfo", lambda h: h.answer_json(errcode=40029, errmsg="invalid code"))
    refused = arrive(client, depart(client))
    assert refused.status_code == 403
    assert "企业微信没有确认这次登录" in refused.text


def test_nobody_is_sent_on_to_another_place(
    client: FlaskClient, platform: Platform, guide: Any
) -> None:
    answers(platform, userid="LiHua")
    for wanted in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/console/",
        "/h5/../console/",
        "/h5/\r\nX: 1",
        "javascript:alert(1)",
        "/h5//evil.example",
        "",
    ):
        assert arrive(client, depart(client, wanted)).location == "/h5/today", wanted


def test_a_sign_in_from_before_is_dead_after_a_new_one(
    client: FlaskClient, platform: Platform, guide: Any
) -> None:
    answers(platform, userid="LiHua")
    arrive(client, depart(client))
    first = client.get_cookie(COOKIE)
    arrive(client, depart(client))
    second = client.get_cookie(COOKIE)
    assert first is not None
    assert second is not None
    assert first.value != second.value
    client.set_cookie(COOKIE, first.value)
    assert client.get("/h5/today").status_code == 302


def test_a_guide_who_is_switched_off_is_out_at_the_next_click(
    enter: Enter, session: Session, guide: Any
) -> None:
    client = enter(guide)
    assert client.get("/h5/today").status_code == 200
    guide.is_active = False
    session.commit()
    assert client.get("/h5/today").status_code == 302


def test_an_operator_of_headquarters_is_no_guide(
    client: FlaskClient, bot: Bot, guide: Any, clock: StillClock
) -> None:
    with transaction(bot.sessions) as session:
        token = sign_ins.open(session, SignInKind.OPERATOR, guide.id, clock.now())
    client.set_cookie(COOKIE, token)
    assert client.get("/h5/today").status_code == 302
