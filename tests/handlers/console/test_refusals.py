"""HQ writes down what a customer wants no more; it holds, it is told, and it can be taken back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot.crm import opt_outs
from bot.crm.models import AuditEntry, TimelineEntry


@pytest.fixture
def wang(session, make):
    contact = make.contact(make.guide(name="张三"), name="王小雨")
    session.commit()
    return contact


def refuses(session, contact):
    session.rollback()
    return [one.channel for one in opt_outs.of(session, contact.id)]


def test_a_refusal_is_written_down_and_taken_back(editor, session, wang):
    path = f"/console/contacts/{wang.id}/refusals"
    assert editor.post(path, channel="sms").status_code == 302
    assert refuses(session, wang) == ["sms"]
    page = editor.page(f"/console/contacts/{wang.id}")
    assert "已退订" in page
    assert "恢复</button>" in page
    assert editor.post(path, channel="sms", is_out="0").status_code == 302
    assert refuses(session, wang) == []
    audit = session.execute(select(AuditEntry.actor, AuditEntry.action).order_by(AuditEntry.id))
    actions = [tuple(row) for row in audit if row.action.startswith("opt")]
    assert actions == [("operator:demo-editor", "opt_out"), ("operator:demo-editor", "opt_in")]
    told = session.scalars(select(TimelineEntry.text).order_by(TimelineEntry.id)).all()
    assert told == ["客户退订了短信（总部登记）", "客户恢复了短信（总部登记）"]


def test_only_editors_may_and_only_what_there_is(editor, viewer, session, make, wang):
    path = f"/console/contacts/{wang.id}/refusals"
    assert viewer.post(path, channel="sms").status_code == 403
    assert "登记退订" not in viewer.page(f"/console/contacts/{wang.id}")
    assert editor.post(path, channel="pigeons").status_code == 400
    assert editor.post("/console/contacts/999999/refusals", channel="sms").status_code == 404
    assert refuses(session, wang) == []
