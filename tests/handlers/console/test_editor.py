"""The editor: drafts that touch nobody, errors beside their field, a preview, and publishing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from sqlalchemy import func, select

from bot.clock import business_day
from bot.crm.models import AuditEntry, Brand
from sop.models import Enrollment, Sop, SopVersion, Task, VersionState
from tests.factories import Make
from tests.sop import facts
from tests.sop.facts import coupon_template
from tests.sop.plans import publish, spec, step

FOLLOWED = {"kind": "followed"}


@pytest.fixture
def people(bot, session, make):
    day = business_day(bot.clock.now())
    guide = make.guide(name="张三")
    contacts = [make.contact(guide, followed_on=day, name=f"客户{n}号") for n in range(3)]
    make.talking_point("{客户称呼}您好，我是{导购名}", name="新客问候")
    session.commit()
    return contacts


def plan(name="新客首月", **given):
    chat = {"day": 0, "kind": "chat", "title": "问候", "talking_point": "新客问候"}
    return {"name": name, "trigger": FOLLOWED, "steps": [chat]} | given


def save(desk, written, sop_id=None, draft_id=None):
    return desk.send(
        "/console/sops/draft", {"sop_id": sop_id, "draft_id": draft_id, "spec": written}
    )


def test_a_saved_draft_touches_nobody_and_is_written_down(editor, session, people):
    told = save(editor, plan()).json
    assert told["number"] == 1
    assert session.scalar(select(func.count()).select_from(Enrollment)) == 0
    draft = session.scalars(select(SopVersion)).one()
    assert (draft.state, draft.created_by) == (VersionState.DRAFT, "operator:demo-editor")
    assert session.scalars(select(AuditEntry.action)).all() == ["sop.draft"]


ONE = {"field": "purchase_count", "op": ">", "value": 3}
BAD = [
    (plan(name=""), "name"),
    (plan(name="长" * 61), "name"),
    (plan(trigger={"kind": "nothing"}), "trigger"),
    (plan(trigger={"kind": "festival"}), "trigger.name"),
    (plan(trigger={"kind": "every", "each": "week"}), "trigger.weekday"),
    (plan(audience={"all": []}), "audience"),
    (plan(audience={"all": [ONE | {"value": ""}]}), "audience.all.0"),
    (plan(audience={"all": [ONE, {"any": [ONE, ONE | {"value": "三"}]}]}), "audience.all.1.any.1"),
    (plan(audience={"all": [ONE, {"not": []}]}), "audience.all.1"),
    (plan(audience={"field": "nothing", "op": "=", "value": 1}), "audience"),
    (plan(audience=[ONE]), "audience"),
    (plan(audience={"all": [ONE], "any": [ONE]}), "audience"),
    (plan(steps=[step("好", kind={"by": [], "else": "call"})]), "steps.0.kind"),
    (plan(steps=[]), "steps"),
    (plan(steps=[step("")]), "steps.0.title"),
    (plan(steps=[step("好"), step("早", -3)]), "steps.1.day"),
    (plan(steps=[step("好", at="25:00")]), "steps.0.at"),
    (plan(steps=[{"day": 0, "kind": "chat", "title": "问候"}]), "steps.0.talking_point"),
    (plan(steps=[step("好", priority="高")]), "steps.0.priority"),
    (plan(steps="none"), "steps"),
    (plan(name="有\x00字"), None),
    (plan(extra=1), None),
]


def test_an_error_stands_beside_its_field_and_changes_nothing(editor, session, people):
    for written, field in BAD:
        answer = save(editor, written)
        assert answer.status_code == 400, written
        assert answer.json["field"] == field, answer.json
        assert answer.json["error"]
    for body in (None, [], "x", {"spec": []}, {"spec": plan(), "sop_id": "1"}):
        assert editor.send("/console/sops/draft", body).status_code == 400
    assert session.scalar(select(func.count()).select_from(Sop)) == 0


def test_the_words_follow_what_is_typed(editor, people):
    audience = {"any": [{"field": "total_spend_fen", "op": ">=", "value": 5000000}]}
    tiers = {"by": "tier", "C": "none", "A": "chat", "S": "chat", "else": ["mass_message", "sms"]}
    steps = [{"day": 3, "at": "10:00", "kind": tiers, "coupon": "礼券"}, {"kind": "x"}, 7]
    asked = {"trigger": FOLLOWED, "audience": audience, "steps": steps}
    told = editor.send("/console/sops/words", asked).json
    assert told == {
        "trigger": "客户加导购为好友",
        "audience": "累计消费不少于 5 万元",
        "steps": [
            {
                "way": "按客户等级：S、A 私聊，C 不联系，其他 群发，联系不上再短信",
                "words": "第 3 天 10:00：S、A 级客户由导购私聊；C 级客户不联系；"
                "其他客户由导购确认群发，联系不上再发短信。带优惠券「礼券」。",
            },
            {"way": "", "wrong": "这一步没有「x」这种方式"},
            {"way": "私聊", "words": "（还没写第几天）：由导购私聊。"},
        ],
    }
    gap = {"all": [{"field": "total_spend_fen", "op": ">=", "value": ""}]}
    told = editor.send("/console/sops/words", {"trigger": {"kind": "x"}, "audience": gap}).json
    assert told["audience_error"] == "「累计消费」还没有填"
    assert "trigger_error" in told
    deep = ONE
    for _ in range(300):
        deep = {"all": [deep]}
    told = editor.send("/console/sops/words", {"trigger": FOLLOWED, "audience": deep}).json
    assert told["audience_error"] == "条件嵌套得太深了"


def test_the_preview_shows_days_people_and_filled_words_and_leaves_nothing(editor, session, people):
    answer = editor.send("/console/sops/preview", {"spec": plan()})
    assert answer.status_code == 200
    assert "客户0号" in answer.text
    assert "我是张三" in answer.text
    assert "{导购名}" not in answer.text
    for table in (Sop, SopVersion, Enrollment, Task):
        assert session.scalar(select(func.count()).select_from(table)) == 0


def test_the_preview_says_what_differs_from_what_is_in_force(editor, session, people):
    live = publish(session, spec("新客首月", FOLLOWED, step("问候")))
    written = plan(steps=[step("问候"), step("回访", 7)])
    answer = editor.send("/console/sops/preview", {"sop_id": live.sop_id, "spec": written})
    assert "新增一步「回访」（第 7 天）" in answer.text


def _plainly(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_preview_tells_kinds_waiting_and_the_tasks_that_change(editor, session, people):
    session.get_one(Brand, 1).settings = {"touch_gap_days": 0, "tasks_per_guide": 1}
    live = publish(session, spec("新客首月", FOLLOWED, step("问候")))
    chat = {"day": 0, "kind": "chat", "title": "欢迎", "talking_point": "新客问候"}
    answer = editor.send(
        "/console/sops/preview", {"sop_id": live.sop_id, "spec": plan(steps=[chat])}
    )
    told = _plainly(answer.text)
    assert re.search(r"新增 3 项 \S+ 周. · 客户\d号 · 欢迎", told)
    assert re.search(r"不再 3 项 \S+ 周. · 客户\d号 · 问候", told)
    assert "不变 0 项" in told
    assert "私聊 1 等待 2 导购已排满" in told
    assert "电话 1" not in told


def test_the_preview_counts_mass_messages_moments_and_messages_to_groups(editor, session, people):
    calendar = {"kind": "every", "each": "day"}
    many = [
        {"day": 0, "kind": kind, "title": kind, "talking_point": "上新"}
        for kind in ("moment", "mass_message")
    ]
    Make(session).talking_point("新款到店，欢迎来看看", name="上新")
    session.commit()
    told = _plainly(
        editor.send("/console/sops/preview", {"spec": plan(trigger=calendar, steps=many)}).text
    )
    assert "群发 3 请导购确认群发 1 次 朋友圈或客户群 1 条" in told
    # Nothing is in force: there is nothing to compare with.
    assert "与线上版本相比" not in told
    only = plan(trigger=calendar, steps=many[:1])
    told = _plainly(editor.send("/console/sops/preview", {"spec": only}).text)
    assert "没有单个客户的任务" in told
    assert "没有客户会触发它" not in told


def test_the_preview_says_whom_no_way_reaches_and_does_not_blame_the_trigger(
    editor, session, people
):
    facts.template(session, "短信一", "sms")
    session.commit()
    sms = {"day": 1, "kind": "sms", "title": "问候", "template": "短信一"}
    told = _plainly(editor.send("/console/sops/preview", {"spec": plan(steps=[sms])}).text)
    assert "联系不上 3 位" in told
    assert "到日子的客户都联系不上" in told
    assert "没有客户会触发它" not in told
    assert "还没有线上版本" in told


def test_only_a_second_version_asks_what_becomes_of_those_within(editor, session, people):
    first = save(editor, plan()).json["sop_id"]
    assert editor.send(f"/console/sops/{first}/impact", {}).json["is_first"] is True
    live = publish(session, spec("已上线", FOLLOWED, step("问候"))).sop_id
    assert save(editor, plan(name="已上线"), sop_id=live).status_code == 200
    assert editor.send(f"/console/sops/{live}/impact", {}).json["is_first"] is False


def test_publishing_touches_exactly_whom_the_dialog_named(bot, editor, session, people):
    told = save(editor, plan()).json
    number = told["sop_id"]
    before = editor.send(f"/console/sops/{number}/impact", {}).json
    assert before["new_only"]["words"] == "现在入组 3 位客户"
    assert session.scalar(select(func.count()).select_from(Enrollment)) == 0
    body = {"reach": "new_only", "draft_id": told["draft_id"]}
    done = editor.send(f"/console/sops/{number}/publish", body)
    assert done.json["words"] == before["new_only"]["words"]
    assert session.scalar(select(func.count()).select_from(Enrollment)) == 3
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "sop.publish")).one()
    assert entry.detail["impact"] == "现在入组 3 位客户"
    assert "已发布" in editor.page(done.json["to"])


def test_a_draft_the_editor_has_not_seen_is_not_published(editor, viewer, app, session, people):
    told = save(editor, plan()).json
    newer = save(editor, plan(steps=[step("改过")]), told["sop_id"], told["draft_id"]).json
    assert newer["draft_id"] != told["draft_id"]
    body = {"reach": "everyone", "draft_id": told["draft_id"]}
    answer = editor.send(f"/console/sops/{told['sop_id']}/publish", body)
    assert answer.status_code == 400
    assert "刚刚改过这份草稿" in answer.json["error"]
    assert save(editor, plan(), told["sop_id"], told["draft_id"]).status_code == 400
    assert session.scalars(select(SopVersion.state)).all() == [VersionState.DRAFT]
    body = {"reach": "nobody", "draft_id": newer["draft_id"]}
    assert editor.send(f"/console/sops/{told['sop_id']}/publish", body).json["field"] == "reach"


def test_a_new_name_is_kept_and_a_taken_one_refused(editor, session, people):
    first = save(editor, plan("甲")).json
    save(editor, plan("乙"))
    assert save(editor, plan("甲")).json["field"] == "name"
    answer = save(editor, plan("乙"), first["sop_id"], first["draft_id"])
    assert answer.json["field"] == "name"
    assert save(editor, plan("丙"), first["sop_id"], first["draft_id"]).status_code == 200
    assert set(session.scalars(select(Sop.name))) == {"乙", "丙"}


PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "{{7*7}}{% if 1 %}",
    "' onfocus='alert(1)",
)


class Elements(HTMLParser):
    """Every element and attribute of a page, as a browser would see them."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen |= {tag} | {f"{tag}@{name}" for name, _ in attrs}


def shape(html):
    reader = Elements()
    reader.feed(html)
    return reader.seen


def test_the_page_of_an_sop_tells_all_that_goes_along_and_what_of_it_changed(
    editor, session, people
):
    coupon_template(session, "礼券")
    first = {"kind": "call", "title": "致电", "day": 1}
    publish(session, spec("新客首月", FOLLOWED, first))
    later = first | {"coupon": "礼券", "workdays": True, "if_missed": "drop"}
    live = publish(session, spec("新客首月", FOLLOWED, later))
    told = _plainly(editor.page(f"/console/sops/{live.sop_id}"))
    assert "带优惠券「礼券」，只在工作日，错过就不做了" in told
    assert "附带由「无」改为「带优惠券「礼券」、只在工作日、错过就不做了」" in told


def test_markup_in_any_name_stays_text_on_every_page(editor, session, make, people):
    """The same pages hold the same elements whether names are plain or hostile."""

    def fill(words):
        region = make.region(name=words)
        guide = make.guide(make.store(name=words, region_id=region.id), name=words)
        contact = make.contact(guide, name=words, external_userid=f"wm{words}")
        make.member(contact, name=words, member_no=words, level=words)
        make.purchase(contact, name=words, category=words)
        make.assignment(contact, make.tag(f"{words[:4]}组/{words}"), mark_error=words)
        point = make.talking_point("您好" + words.replace("{", "(").replace("}", ")"), name=words)
        chat = {"day": 0, "kind": "chat", "title": words[:30], "talking_point": point.name}
        live = publish(session, spec(words, FOLLOWED, chat))
        return contact.id, live.sop_id

    def pages(contact_id, number):
        paths = (
            "/console/",
            "/console/sops/",
            "/console/sends/",
            "/console/appointments/",
            f"/console/sops/{number}",
            f"/console/sops/{number}/edit",
            "/console/contacts/",
            f"/console/contacts/{contact_id}",
        )
        return [shape(editor.page(path)) for path in paths]

    plain = pages(*fill("普通的名字"))
    for words in PAYLOADS:
        assert pages(*fill(words)) == plain, words
