"""Every call of the gateway, as it is on the wire, is accepted by the pretend platform."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bot import errors
from bot.sandbox import actors, guide_actors, kf_actors
from bot.settings import WeComSettings
from bot.wecom import bodies, cards
from bot.wecom.gateway import Gateway
from bot.wecom.messages import Link
from bot.wecom.tokens import TokenStore
from tests.bot.sandbox.conftest import KEYS, PNG, World, receiver, world

__all__ = ["receiver", "world"]


@pytest.fixture
def in_town(world: World, tokens: TokenStore) -> Iterator[Gateway]:
    wecom = WeComSettings(
        world.running.platform_url, KEYS.receive_id, 1000002, "app-secret", KEYS.token, KEYS.aes_key
    )
    gateway = Gateway(wecom, tokens=tokens, limiter=None, clock=world.clock)
    yield gateway
    gateway.close()


def test_the_corp_is_read(in_town):
    assert "wangfang" in in_town.follow_users()
    shop = next(one for one in in_town.departments() if one.name == "南京路店")
    members = {one.userid: one for one in in_town.users(shop.id)}
    assert members["wangfang"].leads == (shop.id,)
    assert members["liuyang"].leads == ()
    assert in_town.user("wangfang").name == "王芳"
    assert in_town.callback_ips()
    with pytest.raises(errors.UnknownPerson):
        in_town.user("nobody")


def test_customers_are_read_one_by_one_and_by_guides(in_town):
    assert in_town.contacts_of("wangfang") == ["wmLiLei"]
    assert in_town.contacts_of("liuyang") == []
    one = in_town.contact("wmLiLei")
    assert (one.name, one.unionid) == ("李雷", "oLiLei")
    assert (one.follows[0].userid, one.follows[0].state) == ("wangfang", "sh001")
    page = in_town.contacts_by_guides(["wangfang", "liuyang"])
    assert [row.external_userid for row in page.contacts] == ["wmLiLei"]
    assert page.next_cursor == ""
    with pytest.raises(errors.UnknownPerson):
        in_town.contact("wmNobody")


def test_tags_are_made_renamed_marked_and_deleted(in_town):
    group = in_town.add_corp_tags(["高价值", "沉睡"], group_name="价值")
    high, low = group.tags
    in_town.edit_corp_tag(high.id, name="尊享")
    assert [tag.name for one in in_town.corp_tags() for tag in one.tags if tag.id == high.id] == [
        "尊享"
    ]
    in_town.mark_tag("wangfang", "wmLiLei", add=[high.id, low.id])
    in_town.mark_tag("wangfang", "wmLiLei", remove=[low.id])
    assert in_town.contact("wmLiLei").follows[0].tag_ids == (high.id,)
    assert in_town.contacts_by_guides(["wangfang"]).contacts[0].follows[0].tag_ids == (high.id,)
    with pytest.raises(errors.FollowEnded):
        in_town.mark_tag("liuyang", "wmLiLei", add=[high.id])
    with pytest.raises(errors.Refused) as caught:
        in_town.mark_tag("wangfang", "wmLiLei", add=["etNone"])
    assert caught.value.errcode == 40068
    in_town.delete_corp_tags(group_ids=[group.id])
    assert in_town.corp_tags() == []


def test_a_contact_way_is_made_read_changed_listed_and_deleted(in_town):
    way = in_town.add_contact_way(userids=["wangfang"], state="s1", remark="收银台")
    assert way.qr_code
    read = in_town.contact_way(way.config_id)
    assert (read.state, read.userids, read.skip_verify) == ("s1", ("wangfang",), True)
    several = in_town.add_contact_way(userids=["wangfang", "liuyang"], state="s2")
    in_town.update_contact_way(several.config_id, userids=["liuyang"], state="s3")
    assert in_town.contact_way(several.config_id).userids == ("liuyang",)
    assert set(in_town.contact_ways().config_ids) == {way.config_id, several.config_id}
    in_town.delete_contact_way(way.config_id)
    with pytest.raises(errors.Refused):
        in_town.contact_way(way.config_id)


def test_a_welcome_is_sent_once_and_in_time(in_town, world):
    in_town.add_contact_way(userids=["wangfang"], state="s1")
    actors.scan(world.town, "wmHanMei", state="s1")
    code = world.receiver.wait_for(1)[0].welcome_code
    image = in_town.upload_image("a.png", PNG)
    assert image.startswith("http")
    in_town.send_welcome(code, "欢迎", [Link("新品", "https://example.com/a")])
    with pytest.raises(errors.WelcomeTaken):
        in_town.send_welcome(code, "欢迎")
    with pytest.raises(errors.WelcomeExpired):
        in_town.send_welcome("nonsense", "欢迎")


def test_a_card_is_sent_clicked_and_updated_once(in_town, world):
    card = cards.button_card(
        title="今日待办",
        task_id="digest-1",
        buttons=[cards.Button("完成", key="done")],
        rows=[cards.Row("客户", "李雷")],
        choice=cards.Choice("q1", "结果", [("a", "已联系"), ("b", "未联系")]),
    )
    sent = in_town.send_app_message(
        ["wangfang", "Nobody"], {"msgtype": "template_card", "template_card": card}
    )
    assert sent.response_code
    assert sent.invalid_users == ("nobody",)
    guide_actors.click_card(world.town, "wangfang", sent.msgid, "done", {"q1": ["b"]})
    clicked = world.receiver.wait_for(1)[0]
    assert (clicked.userid, clicked.task_id, clicked.key) == ("wangfang", "digest-1", "done")
    assert clicked.selected == {"q1": ("b",)}
    in_town.update_card(sent.response_code, ["wangfang"], button_text="已完成")
    with pytest.raises(errors.Refused) as caught:
        in_town.update_card(sent.response_code, ["wangfang"], button_text="已完成")
    assert caught.value.errcode == 60140
    with pytest.raises(errors.UnknownPerson):
        in_town.send_app_message(["nobody"], {"msgtype": "text", "text": {"content": "x"}})
    notice = cards.text_notice(title="早上好", url="https://example.com/h5")
    body = bodies.app_card_body(1000002, ["wangfang"], notice)
    assert in_town.call("message/send", body, members=["wangfang"])["errcode"] == 0
    guide_actors.write_to_app(world.town, "wangfang", "今日")
    assert world.receiver.wait_for(2)[-1].text == "今日"


def test_media_is_uploaded(in_town):
    assert in_town.upload_media("image", "门店.png", PNG)


def test_a_customer_of_the_brand_is_answered(in_town, world):
    [account] = in_town.kf_accounts()
    kf_actors.write(world.town, "wmLiLei", account.open_kfid, "积分")
    token = world.receiver.wait_for(1)[0].token
    page = in_town.kf_sync(account.open_kfid, token=token)
    assert [one.text for one in page.messages] == ["积分"]
    assert in_town.kf_state(account.open_kfid, "wmLiLei").state == 0
    text = bodies.kf_text("您有 520 积分")
    assert in_town.kf_send(account.open_kfid, "wmLiLei", text, msgid="m1") == "m1"
    menu = bodies.kf_menu("还想问什么?", [("1", "门店")])
    in_town.kf_send(account.open_kfid, "wmLiLei", menu)
    code = in_town.kf_transfer(account.open_kfid, "wmLiLei", 3, "wangfang")
    state = in_town.kf_state(account.open_kfid, "wmLiLei")
    assert (state.state, state.servicer_userid) == (3, "wangfang")
    if code:
        in_town.kf_send_on_event(code, bodies.kf_text("为您转接"))
    with pytest.raises(errors.Refused) as caught:
        in_town.kf_send(account.open_kfid, "wmLiLei", text)
    assert caught.value.errcode == 95018
    assert in_town.kf_customers(["wmLiLei"])[0].nickname == "李雷"


def test_a_token_that_outlived_its_time_is_renewed_without_notice(in_town, world):
    in_town.follow_users()
    world.pass_time(hours=3)
    time.sleep(0.25)
    assert in_town.follow_users()
