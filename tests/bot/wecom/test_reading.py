"""Each kind of callback becomes its event; what is not known stays honest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.errors import CallbackError
from bot.wecom import callback, events, reading

NESTED = {"MemChangeList", "SelectedItems", "SendLocationInfo"}
AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def xml(**fields: str) -> bytes:
    head = {"ToUserName": "ww01", "FromUserName": "sys", "CreateTime": "1700000000"}
    rows = "".join(
        f"<{name}>{value if name in NESTED else f'<![CDATA[{value}]]>'}</{name}>"
        for name, value in {**head, **fields}.items()
    )
    return f"<xml>{rows}</xml>".encode()


def customer(change: str, **fields: str) -> bytes:
    return xml(
        MsgType="event",
        Event="change_external_contact",
        ChangeType=change,
        UserID="guide01",
        ExternalUserID="wm01",
        **fields,
    )


PAIR = {"created_at": AT, "to_user": "ww01", "userid": "guide01", "external_userid": "wm01"}
HEAD = {"created_at": AT, "to_user": "ww01"}

EXAMPLES = {
    "added": (
        customer("add_external_contact", State="store7", WelcomeCode="CODE"),
        events.ContactAdded(**PAIR, state="store7", welcome_code="CODE"),
    ),
    "added with empty fields": (
        customer("add_external_contact", State="", WelcomeCode=""),
        events.ContactAdded(**PAIR, state=None, welcome_code=None),
    ),
    "half added": (
        customer("add_half_external_contact", WelcomeCode="CODE"),
        events.ContactHalfAdded(**PAIR, state=None, welcome_code="CODE"),
    ),
    "consent": (
        customer("msg_audit_approved", WelcomeCode="CODE"),
        events.ConsentGiven(**PAIR, welcome_code="CODE"),
    ),
    "edited": (customer("edit_external_contact"), events.ContactEdited(**PAIR)),
    "removed": (
        customer("del_external_contact", Source="DELETE_BY_TRANSFER"),
        events.ContactRemoved(**PAIR, source="DELETE_BY_TRANSFER"),
    ),
    "guide removed": (customer("del_follow_user"), events.GuideRemoved(**PAIR)),
    "transfer": (
        customer("transfer_fail", FailReason="customer_refused"),
        events.TransferFailed(**PAIR, reason="customer_refused"),
    ),
    "tag": (
        xml(
            MsgType="event",
            Event="change_external_tag",
            ChangeType="delete",
            Id="et01",
            TagType="tag_group",
        ),
        events.CorpTagChanged(**HEAD, change="delete", id="et01", tag_type="tag_group"),
    ),
    "all tags shuffled": (
        xml(MsgType="event", Event="change_external_tag", ChangeType="shuffle", Id=""),
        events.CorpTagChanged(**HEAD, change="shuffle", id="", tag_type=""),
    ),
    "group with one member": (
        xml(
            MsgType="event",
            Event="change_external_chat",
            ChangeType="update",
            ChatId="wr01",
            UpdateDetail="add_member",
            JoinScene="3",
            MemChangeList="<Item>wm01</Item>",
        ),
        events.GroupChatChanged(
            **HEAD,
            change="update",
            chat_id="wr01",
            detail={"UpdateDetail": "add_member", "JoinScene": "3", "MemChangeList": ["wm01"]},
        ),
    ),
    "group with two members": (
        xml(
            MsgType="event",
            Event="change_external_chat",
            ChangeType="update",
            ChatId="wr01",
            MemChangeList="<Item>wm01</Item><Item>wm02</Item>",
        ),
        events.GroupChatChanged(
            **HEAD, change="update", chat_id="wr01", detail={"MemChangeList": ["wm01", "wm02"]}
        ),
    ),
    "group dismissed": (
        xml(MsgType="event", Event="change_external_chat", ChangeType="dismiss", ChatId="wr01"),
        events.GroupChatChanged(**HEAD, change="dismiss", chat_id="wr01", detail={}),
    ),
    "words": (
        xml(FromUserName="guide01", MsgType="text", Content="完成 1", MsgId="456", AgentID="1"),
        events.GuideMessage(**HEAD, userid="guide01", text="完成 1", msg_id="456"),
    ),
    "card": (
        xml(
            FromUserName="guide01",
            MsgType="event",
            Event="template_card_event",
            EventKey="done",
            TaskId="task-1",
            CardType="button_interaction",
            ResponseCode="RC",
            SelectedItems=(
                "<SelectedItem><QuestionKey>q1</QuestionKey><OptionIds><OptionId>a</OptionId>"
                "<OptionId>b</OptionId></OptionIds></SelectedItem>"
                "<SelectedItem><QuestionKey>q2</QuestionKey><OptionIds><OptionId>c</OptionId>"
                "</OptionIds></SelectedItem>"
            ),
        ),
        events.CardClicked(
            **HEAD,
            userid="guide01",
            task_id="task-1",
            key="done",
            response_code="RC",
            selected={"q1": ("a", "b"), "q2": ("c",)},
        ),
    ),
    "entered": (
        xml(FromUserName="guide01", MsgType="event", Event="enter_agent", EventKey=""),
        events.AppEntered(**HEAD, userid="guide01"),
    ),
    "subscribed": (
        xml(FromUserName="guide01", MsgType="event", Event="subscribe"),
        events.GuideSubscribed(**HEAD, userid="guide01"),
    ),
    "unsubscribed": (
        xml(FromUserName="guide01", MsgType="event", Event="unsubscribe"),
        events.GuideUnsubscribed(**HEAD, userid="guide01"),
    ),
    "kf": (
        xml(MsgType="event", Event="kf_msg_or_event", Token="TOKEN", OpenKfId="wk01"),
        events.KfArrived(**HEAD, open_kfid="wk01", token="TOKEN"),
    ),
    "unknown event": (
        xml(MsgType="event", Event="customer_acquisition", ChangeType="balance_low"),
        events.UnknownEvent(
            **HEAD, msg_type="event", event="customer_acquisition", change_type="balance_low"
        ),
    ),
    "unknown change": (
        customer("something_new"),
        events.UnknownEvent(
            **HEAD, msg_type="event", event="change_external_contact", change_type="something_new"
        ),
    ),
    "picture of a guide": (
        xml(FromUserName="guide01", MsgType="image", MediaId="m", PicUrl="http://x", MsgId="1"),
        events.UnknownEvent(**HEAD, msg_type="image", event="", change_type=""),
    ),
    "unknown with fields inside fields": (
        xml(
            FromUserName="guide01",
            MsgType="event",
            Event="location_select",
            SendLocationInfo="<Location_X>1</Location_X><Scale>2</Scale>",
        ),
        events.UnknownEvent(**HEAD, msg_type="event", event="location_select", change_type=""),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_callback_becomes_its_event(name):
    plaintext, expected = EXAMPLES[name]
    assert callback.parse(plaintext) == expected


def test_every_reader_has_an_example():
    seen = {type(event) for _, event in EXAMPLES.values()}
    made = {
        one
        for one in vars(events).values()
        if isinstance(one, type) and issubclass(one, events.Event) and one is not events.Event
    }
    assert made == seen
    assert len(reading.READERS) == 14


def test_an_unknown_event_names_the_key_under_which_it_would_be_added():
    assert callback.parse(EXAMPLES["unknown change"][0]).kind == (
        "change_external_contact",
        "something_new",
    )


def test_only_a_running_clock_is_urgent():
    urgent = {name for name, (plaintext, _) in EXAMPLES.items() if callback.is_urgent(plaintext)}
    assert urgent == {"added", "half added", "consent", "kf"}
    # The words of a guide cannot push their message into the welcome's lane.
    loud = xml(MsgType="text", Content="<WelcomeCode>x</WelcomeCode>", WelcomeCode="x", MsgId="1")
    assert not callback.is_urgent(loud)
    assert not callback.is_urgent(b"nonsense")


UNREADABLE = {
    "no kind": xml(),
    "no time": xml(MsgType="event", Event="enter_agent").replace(b"1700000000", b""),
    "a time in words": xml(MsgType="event", Event="x").replace(b"1700000000", b"yesterday"),
    "an endless time": xml(MsgType="event", Event="x").replace(b"1700000000", b"9" * 30),
    "other digits": xml(MsgType="event", Event="x").replace(b"1700000000", "٣".encode()),
    "no guide": xml(
        MsgType="event",
        Event="change_external_contact",
        ChangeType="add_external_contact",
        ExternalUserID="wm01",
    ),
    "no account": xml(MsgType="event", Event="kf_msg_or_event", Token="T"),
    "no message id": xml(MsgType="text", Content="x"),
    "a field twice": customer("add_external_contact").replace(
        b"</xml>", b"<UserID>guide02</UserID></xml>"
    ),
    "a kind twice": xml(MsgType="text", MsgId="1").replace(
        b"</xml>", b"<MsgType>event</MsgType></xml>"
    ),
    "a list twice": xml(MsgType="event", Event="x", MemChangeList="<Item>1</Item>").replace(
        b"</xml>", b"<MemChangeList/></xml>"
    ),
    "a long id": customer("add_external_contact", State="s").replace(b"guide01", b"g" * 300),
    "a long field": customer("add_external_contact", State="s" * 5000),
    "a question twice": xml(
        FromUserName="g",
        MsgType="event",
        Event="template_card_event",
        TaskId="t",
        EventKey="k",
        SelectedItems="<SelectedItem><QuestionKey>q</QuestionKey></SelectedItem>" * 2,
    ),
    "a document type": b'<!DOCTYPE xml [<!ENTITY a "b">]>' + xml(MsgType="text"),
    "not utf-8": xml(MsgType="text").replace(b"sys", b"\xff\xfe"),
    "too large": xml(MsgType="text", Content="x" * 70_000, MsgId="1"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_lacks_its_fields_is_unreadable(name):
    with pytest.raises(CallbackError) as caught:
        callback.parse(UNREADABLE[name])
    assert caught.value.kind == "unreadable"


def test_hostile_words_of_a_guide_are_data():
    words = "</Content><MsgType>event</MsgType> & {0} %s ${x} '; drop table <!DOCTYPE x>"
    event = callback.parse(xml(FromUserName="g", MsgType="text", Content=words, MsgId="1"))
    assert event.text == words
