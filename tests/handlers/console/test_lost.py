"""The list of the lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.clock import business_day


@pytest.fixture
def today(bot):
    return business_day(bot.clock.now())


def ended(session, make, name, *, on, by="customer", guide=None):
    guide = guide or make.guide(make.store(name="南京路店"), name="张三")
    contact = make.contact(None, name=name)
    relation = make.follow(guide, contact, followed_on=on - timedelta(days=100))
    relation.state, relation.ended_on, relation.ended_by = "ended", on, by
    contact.guide_id = None
    session.commit()
    return contact


def test_both_directions_are_listed_and_can_be_told_apart(viewer, session, make, today):
    contact = ended(session, make, "王小雨", on=today)
    make.purchase(contact, amount_fen=1_280_000)
    ended(session, make, "李大山", on=today - timedelta(days=1), by="guide")
    page = viewer.page("/console/lost/")
    for words in ("王小雨", "客户删的", "李大山", "导购删的", "张三", "南京路店", "¥12,800", "100"):
        assert words in page
    page = viewer.page("/console/lost/?direction=guide")
    assert "李大山" in page
    assert "王小雨" not in page


def test_older_ones_come_with_an_earlier_day(viewer, session, make, today):
    ended(session, make, "王小雨", on=today - timedelta(days=45))
    assert "没有流失的客户" in viewer.page("/console/lost/")
    since = today - timedelta(days=60)
    assert "王小雨" in viewer.page(f"/console/lost/?since={since}")


def test_who_has_another_guide_is_said(viewer, session, make, today):
    contact = ended(session, make, "王小雨", on=today)
    make.follow(make.guide(name="李四"), contact)
    session.commit()
    assert "现由 李四 跟进" in viewer.page("/console/lost/")


@pytest.mark.parametrize(
    "query", ["since=x", "since=0001-01-01", "direction=up", "since=2026-99-99"]
)
def test_nonsense_in_the_address_shows_the_list(viewer, session, make, today, query):
    ended(session, make, "王小雨", on=today)
    assert "王小雨" in viewer.page(f"/console/lost/?{query}")


def test_a_place_nobody_gave_is_refused_in_one_sentence(viewer):
    answer = viewer.get("/console/lost/?cursor=x%27%3B")
    assert answer.status_code == 400
    assert "请从第一页看起" in answer.text


def test_the_list_goes_on_where_the_page_ended(viewer, session, make, today):
    guide = make.guide(name="张三")
    for n in range(53):
        ended(session, make, f"客{n:02}号", on=today - timedelta(days=n % 5), guide=guide)
    page = viewer.page("/console/lost/")
    cursor = page.split("cursor=")[1].split('"')[0]
    rest = viewer.page(f"/console/lost/?cursor={cursor}")
    shown = [n for n in range(53) if f"客{n:02}号" in page]
    others = [n for n in range(53) if f"客{n:02}号" in rest]
    assert sorted(shown + others) == list(range(53))


def test_the_list_of_one_store_stays_that_stores_on_every_link(viewer, session, make, today):
    store = make.store(name="南京路店")
    guide = make.guide(store, name="张三")
    for n in range(51):
        ended(session, make, f"客{n:02}号", on=today, guide=guide)
    ended(session, make, "王小雨", on=today, guide=make.guide(make.store(name="徐家汇店")))
    assert "王小雨" in viewer.page("/console/lost/")
    page = viewer.page(f"/console/lost/?store={store.id}&direction=customer")
    assert "王小雨" not in page
    assert f'<option value="{store.id}" selected>南京路店</option>' in page
    links = [one.split('"')[0] for one in page.split('href="/console/lost/?')[1:]]
    assert len([one for one in links if f"store={store.id}" in one]) == 4, links
    assert "王小雨" not in viewer.page("/console/lost/?" + links[-1].replace("&amp;", "&"))
    # A store that is not there chooses nothing.
    assert "王小雨" in viewer.page("/console/lost/?store=999999")
