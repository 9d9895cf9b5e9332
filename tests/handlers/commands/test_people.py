"""merge, unmerge and merges at the terminal."""

from __future__ import annotations

import json
import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import AuditEntry, Contact, IdentityKind
from tests.factories import Make
from tests.handlers.commands.conftest import Run


def test_a_merge_is_made_listed_and_undone(daogou: Run, session: Session) -> None:
    make = Make(session)
    known = make.contact()
    carded = make.contact(external_userid=None)
    make.identity(carded, IdentityKind.MEMBER_NO, "M1")
    session.commit()
    made = daogou("merge", "M1", known.external_userid)
    assert made.status == 0
    found = re.search(r"已合并到客户 (\d+)；撤销：daogou unmerge (\d+)", made.out)
    assert found is not None
    assert int(found[1]) == known.id
    assert session.scalar(select(Contact.merged_into_id).where(Contact.id == carded.id)) == known.id
    (row,) = json.loads(daogou("merges", "M1", "--json").out)
    assert (row["gone"], row["reason"], row["undone_at"]) == (carded.id, "人工合并", None)
    assert daogou("unmerge", found[2]).out == (
        f"已撤销：客户 {known.id} 和客户 {carded.id} 又是两位。\n"
    )
    session.rollback()
    assert session.scalar(select(Contact.merged_into_id).where(Contact.id == carded.id)) is None
    assert "已撤销" in daogou("merges", "M1").out
    audit = session.execute(
        select(AuditEntry.actor, AuditEntry.action).order_by(AuditEntry.id)
    ).all()
    assert [tuple(one) for one in audit] == [
        ("system:merge", "merge"),
        ("system:unmerge", "unmerge"),
    ]


def test_a_wrong_word_is_one_line(daogou: Run, session: Session) -> None:
    contact = Make(session).contact()
    session.commit()
    name = contact.external_userid
    daogou("merge", name, "nobody").refused("没有找到客户：nobody")
    daogou("merge", name, name).refused("这是同一位客户。")
    daogou("unmerge", "十").refused("要是数字")
    daogou("unmerge", "9" * 18).refused("没有这条合并记录")
    assert daogou("merges", name).out == "这位客户没有合并过。\n"
