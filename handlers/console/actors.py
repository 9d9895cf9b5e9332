"""Who did it, by the name people know (操作人)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Operator

_PREFIX = "operator:"
_OTHERS = {"system:sample": "示例数据", "system:cli": "命令行"}


def names(session: Session, actors: Iterable[str | None]) -> dict[str, str]:
    """The name of each actor as the audit log writes it, in one statement."""
    wanted = {one for one in actors if one}
    usernames = [one.removeprefix(_PREFIX) for one in wanted if one.startswith(_PREFIX)]
    rows = session.execute(
        select(Operator.username, Operator.name).where(Operator.username.in_(usernames))
    )
    known = {f"{_PREFIX}{username}": name for username, name in rows}
    return {one: known.get(one) or _plain(one) for one in wanted}


def _plain(actor: str) -> str:
    return _OTHERS.get(actor, "系统" if actor.startswith("system") else actor.removeprefix(_PREFIX))
