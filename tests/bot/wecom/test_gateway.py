"""What the typed calls send and read, and how they wait for their turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from sqlalchemy.orm import Session, sessionmaker

from bot import errors
from bot.clock import Clock
from bot.limiter import Limiter
from bot.settings import WeComSettings
from bot.wecom import login
from bot.wecom.gateway import Gateway
from bot.wecom.messages import Link
from bot.wecom.tokens import TokenStore
from tests.bot.wecom.scripted import Handler, Platform


def test_a_guide_without_customers_has_none(platform, gateway):
    platform.on("externalcontact/list", lambda h: h.answer_json(errcode=84061))
    assert gateway.contacts_of("guide01") == []


def test_receivers_who_were_left_out_are_named(platform, gateway):
    platform.on(
        "message/send",
        lambda h: h.answer_json(invaliduser="guide02|guide03", msgid="m1", response_code="RC"),
    )
    message = {"msgtype": "text", "text": {"content": "早"}}
    result = gateway.send_app_message(["guide01", "Guide02", "guide03"], message)
    assert result.invalid_users == ("guide02", "guide03")
    assert (result.msgid, result.response_code) == ("m1", "RC")
    assert json.loads(platform.asked[-1].body)["agentid"] == 1000002


def test_a_customer_with_more_followers_than_a_page_is_read_to_the_end(platform, gateway):
    def page(handler: Handler) -> None:
        cursor = platform.asked[-1].query.get("cursor")
        more = {} if cursor else {"next_cursor": "c1"}
        row = {"userid": f"guide-{cursor}", "createtime": 1700000000, "add_way": 1, "state": "s"}
        tags = [{"tag_id": "et1", "tag_name": "A", "group_name": "G", "type": 1}]
        person = {"external_userid": "wm1", "name": "王", "type": 1}
        handler.answer_json(external_contact=person, follow_user=[{**row, "tags": tags}], **more)

    platform.on("externalcontact/get", page)
    detail = gateway.contact("wm1")
    assert [follow.userid for follow in detail.follows] == ["guide-None", "guide-c1"]
    assert detail.follows[0].tag_ids == ("et1",)
    assert detail.follows[0].created_at is not None


def test_replies_with_missing_or_wrong_fields_do_not_break_the_reader(platform, gateway):
    platform.on(
        "externalcontact/batch/get_by_user",
        lambda h: h.answer_json(
            external_contact_list=[
                {},
                "x",
                {"external_contact": [], "follow_info": {"tag_id": [1, "et1"], "createtime": "x"}},
            ],
            next_cursor=None,
        ),
    )
    page = gateway.contacts_by_guides(["guide01"])
    assert [contact.follows[0].tag_ids for contact in page.contacts] == [(), ("et1",)]
    assert page.next_cursor == ""
    platform.on("externalcontact/add_contact_way", lambda h: h.answer_json(config_id=7))
    with pytest.raises(errors.WeComUnavailable):
        gateway.add_contact_way(userids=["guide01"], state="s")


def test_an_upload_is_multipart_with_its_chinese_name(platform, gateway):
    platform.on("media/upload", lambda h: h.answer_json(media_id="m1", type="image"))
    assert gateway.upload_media("image", '新"品.png', b"x" * 100) == "m1"
    asked = platform.asked[-1]
    assert asked.query["type"] == "image"
    assert 'filename="新%22品.png"'.encode() in asked.body
    with pytest.raises(errors.UserError):
        gateway.upload_media("image", "a.png", b"x")
    with pytest.raises(errors.UserError):
        gateway.upload_media("sound", "a.png", b"x" * 100)


def test_a_welcome_reaches_the_wire_as_frozen(platform, gateway):
    gateway.send_welcome("CODE", "欢迎", [Link("新品", "https://a.cn")])
    asked = platform.asked[-1]
    assert asked.api == "externalcontact/send_welcome_msg"
    assert "欢迎".encode() in asked.body
    assert asked.headers["Content-Type"] == "application/json"


def test_kf_pages_keep_their_cursor_and_say_whether_there_is_more(platform, gateway):
    rows = [
        {"msgid": "1", "open_kfid": "wk", "external_userid": "wm", "origin": 3,
         "msgtype": "text", "text": {"content": "在吗", "menu_id": "7"}, "send_time": 1700000000},
        {"msgid": "2", "origin": 4, "msgtype": "event",
         "event": {"event_type": "enter_session", "open_kfid": "wk", "external_userid": "wm"}},
    ]  # fmt: skip
    platform.on("kf/sync_msg", lambda h: h.answer_json(msg_list=rows, next_cursor="c", has_more=1))
    page = gateway.kf_sync("wk", token="T", cursor="b")
    assert (page.next_cursor, page.has_more) == ("c", True)
    assert [(one.kind, one.external_userid, one.text) for one in page.messages] == [
        ("text", "wm", "在吗"),
        ("event", "wm", ""),
    ]
    platform.on("kf/sync_msg", lambda h: h.answer_json(msg_list=[], has_more=1))
    assert gateway.kf_sync("wk", cursor="b").next_cursor == "b"


def test_only_a_member_of_this_corp_can_sign_in(platform, gateway):
    platform.on("auth/getuserinfo", lambda h: h.answer_json(userid="guide01"))
    assert gateway.login_user("code") == "guide01"
    for other in ({"openid": "o", "external_userid": "wm1"}, {"userid": "wwother/guide01"}, {}):
        platform.on("auth/getuserinfo", lambda h, o=other: h.answer_json(**o))
        with pytest.raises(errors.Refused):
            gateway.login_user("code")


def test_page_tickets_are_fetched_once_and_the_two_differ(platform, gateway):
    platform.on("get_jsapi_ticket", lambda h: h.answer_json(ticket="T1", expires_in=7200))
    platform.on("ticket/get", lambda h: h.answer_json(ticket="T2", expires_in=7200))
    first = gateway.page_signature("https://a.cn/h5#x")
    gateway.page_signature("https://a.cn/h5")
    assert first.signature != first.agent_signature
    assert len(platform.calls("get_jsapi_ticket")) == len(platform.calls("ticket/get")) == 1
    assert platform.calls("ticket/get")[0].query["type"] == "agent_config"


@pytest.fixture
def limited(
    wecom: WeComSettings, tokens: TokenStore, redis_url: str, sessions: sessionmaker[Session]
) -> Iterator[Gateway]:
    redis = Redis.from_url(redis_url)
    redis.flushall()
    gateway = Gateway(
        wecom,
        tokens=tokens,
        limiter=Limiter(redis, sessions),
        clock=Clock(),
        block_seconds=(30, 60),
    )
    yield gateway
    gateway.close()
    redis.close()


def test_after_45009_nothing_of_that_api_goes_out(platform: Platform, limited: Gateway):
    platform.on("user/get", lambda h: h.answer_json(errcode=45009, errmsg="api freq out of limit"))
    for _ in range(5):
        with pytest.raises(errors.RateLimited) as caught:
            limited.user("guide01")
        assert 0 < caught.value.retry_after <= 30
    assert len(platform.calls("user/get")) == 1
    assert limited.follow_users() == []


def test_a_member_gets_no_more_app_messages_than_wecom_would_deliver(platform, limited):
    message = {"msgtype": "text", "text": {"content": "x"}}
    sent = 0

    def send_until_refused() -> None:
        nonlocal sent
        for _ in range(40):
            limited.send_app_message(["guide01"], message)
            sent += 1

    with pytest.raises(errors.RateLimited) as caught:
        send_until_refused()
    assert sent <= 20
    assert caught.value.retry_after > 0
    assert len(platform.calls("message/send")) == sent
    limited.send_app_message(["guide02"], message)


def test_no_more_than_four_tags_are_marked_at_once(platform, gateway):
    now, most, lock = 0, 0, threading.Lock()

    def busy(handler: Handler) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        handler.server.closing.wait(0.03)
        with lock:
            now -= 1
        handler.answer_json()

    platform.on("externalcontact/mark_tag", busy)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: gateway.mark_tag("u", f"w{n}", ["et1"]), range(24)))
    assert 1 < most <= 4


def test_sign_in_pages_are_wecoms_or_the_sandboxs():
    real = WeComSettings("https://qyapi.weixin.qq.com", "ww01", 7, "s", "t", "k")
    box = WeComSettings("http://127.0.0.1:8000/sandbox/platform", "ww01", 7, "s", "t", "k")
    back = "https://a.cn/h5/?x=1"
    url = login.guide_authorize_url(real, back, "abc")
    assert url.startswith("https://open.weixin.qq.com/connect/oauth2/authorize?appid=ww01&")
    assert "redirect_uri=https%3A%2F%2Fa.cn%2Fh5%2F%3Fx%3D1&" in url
    assert url.endswith("#wechat_redirect")
    page = login.guide_authorize_url(box, back, "abc")
    assert page.startswith("http://127.0.0.1:8000/sandbox/oauth2/authorize?appid=ww01&")
    assert login.console_login_url(real, back, "abc").startswith(
        "https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&"
    )
    assert login.console_login_url(box, back, "abc").startswith(
        "http://127.0.0.1:8000/sandbox/wwlogin/sso/login?"
    )
    with pytest.raises(ValueError, match="state"):
        login.guide_authorize_url(real, back, "a b")
