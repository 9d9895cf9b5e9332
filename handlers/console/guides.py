"""The guides HQ may choose from (导购): as the pages list them, and the one a person named."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bot.crm.models import Guide, Store
from bot.errors import UserError
from content_library import words

#: More make no page that anybody reads; whoever is not listed can still be named.
_MOST_LISTED = 500


@dataclass(frozen=True)
class Listed:
    """A guide as she stands in a list: her account, her name and her store."""

    userid: str
    words: str


def listed(session: Session) -> list[Listed]:
    """The active guides, by store and name."""
    rows = session.execute(
        select(Guide.userid, Guide.name, Store.name.label("store"))
        .outerjoin(Store, Store.id == Guide.store_id)
        .where(Guide.is_active)
        .order_by(Store.name, Guide.name, Guide.id)
        .limit(_MOST_LISTED)
    )
    return [
        Listed(row.userid, f"{row.name} · {row.store}" if row.store else row.name) for row in rows
    ]


def named(session: Session, said: str) -> Guide:
    """The active guide of this account or name; raises UserError for none or several."""
    wanted = said.strip()
    if not wanted:
        raise UserError("请写导购的姓名或账号。", field="guide")
    found = session.scalars(
        select(Guide)
        .where(
            Guide.is_active,
            or_(func.lower(Guide.userid) == wanted.lower(), Guide.name == wanted),
        )
        .order_by(Guide.id)
        .limit(6)
    ).all()
    of_account = [one for one in found if one.userid.lower() == wanted.lower()]
    if of_account:
        return of_account[0]
    if not found:
        raise UserError(f"没有叫「{words.plain(wanted, 20)}」的在职导购。", field="guide")
    if len(found) > 1:
        accounts = "、".join(one.userid for one in found)
        many = f"有几位导购都叫「{words.plain(wanted, 20)}」"
        raise UserError(f"{many}，请写账号：{accounts}。", field="guide")
    return found[0]
