"""Whether every page can be read and used: by weak eyes, on a tablet and with a thumb."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.clock import at, business_day
from sop import appointments, leads
from tests.legible import pale_words, small_targets
from tests.sop.plans import night, publish, spec, step

LONG = "上海南京东路世茂广场旗舰店（二层）"
LISTS = ("/console/leads/", "/console/appointments/", "/console/lost/", "/console/contacts/")


@pytest.fixture
def paths(bot, session, make):
    """One of everything that is listed, and the pages on which it stands."""
    now = bot.clock.now()
    day = business_day(now)
    guide = make.guide(make.store(name=LONG), name="张三丰")
    contact = make.contact(guide, name="爱吃火锅的王女士🍲", followed_on=day)
    leads.raise_intent(session, contact.id, "定制", "想订做一对", now, dedupe_key="b")
    row = appointments.by_hand(session, contact.id, guide.id, guide.store_id, now)
    slot = at(day + timedelta(days=1), 15)
    appointments.book(session, row.id, slot_at=slot, store_id=guide.store_id, by="x", now=now)
    gone = make.contact(None, name="走了的客户")
    relation = make.follow(guide, gone, followed_on=day - timedelta(days=100))
    relation.state, relation.ended_on, relation.ended_by = "ended", day, "customer"
    gone.guide_id = None
    made = publish(session, spec("新客首月", {"kind": "followed"}, step("问候")))
    night(session, day)
    session.commit()
    sop = f"/console/sops/{made.sop_id}"
    one = f"/console/contacts/{contact.id}"
    more = ("/console/", "/console/sops/", sop, f"{sop}/edit", one, f"{one}/explain")
    return (*LISTS, "/console/sends/", *more, "/console/nowhere")


def test_every_word_stands_out_from_its_ground(page, address, paths):
    pale = {}
    for path in paths:
        page.goto(address + path)
        pale[path] = pale_words(page)
    assert {path: found for path, found in pale.items() if found} == {}


def test_on_a_phone_nothing_to_tap_is_lower_than_a_thumb(page, address, paths):
    page.set_viewport_size({"width": 390, "height": 844})
    small = {}
    for path in paths:
        page.goto(address + path)
        small[path] = small_targets(page)
    assert {path: found for path, found in small.items() if found} == {}


def test_on_a_tablet_no_name_in_a_list_is_cut(page, address, paths):
    page.set_viewport_size({"width": 768, "height": 1024})
    for path in (*LISTS, "/console/"):
        page.goto(address + path)
        cut = page.eval_on_selector_all(
            "td.strong, td[data-label=导购], td[data-label=门店], td.is-name",
            "all => all.filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.innerText)",
        )
        assert cut == [], path


def test_on_a_phone_the_room_one_is_in_is_in_sight_in_the_menu(page, address):
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{address}/console/lost/")
    here, menu = (page.locator(one).bounding_box() for one in (".menu [aria-current]", ".menu"))
    assert here["x"] >= menu["x"]
    assert here["x"] + here["width"] <= menu["x"] + menu["width"]
