"""Write down who saw or changed what (审计)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bot.crm.models import AuditEntry
from handlers.console import guard


def note(session: Session, action: str, thing: str, at: datetime, **detail: Any) -> None:
    """One line in the caller's transaction: it stands exactly if the deed does."""
    session.add(
        AuditEntry(at=at, actor=guard.who().actor, action=action, object=thing, detail=detail)
    )
