"""Door: HQ's web console (总部后台). PAGES is the closed table of its rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint

from handlers.console import (
    appointment_list,
    contacts,
    editor,
    guard,
    lead_list,
    lost_list,
    people_words,
    problems,
    send_list,
    sign_in,
    sops,
    today,
)


@dataclass(frozen=True)
class Page:
    """One room: its word in the menu, its blueprint and the endpoint the menu leads to."""

    label: str
    bp: Blueprint
    home: str


PAGES: tuple[Page, ...] = (
    Page("今日", today.bp, "console.today.page"),
    Page("SOP", sops.bp, "console.sops.page"),
    Page("客户", contacts.bp, "console.contacts.page"),
    Page("线索", lead_list.bp, "console.leads.page"),
    Page("群发", send_list.bp, "console.sends.page"),
    Page("邀约", appointment_list.bp, "console.appointments.page"),
    Page("流失", lost_list.bp, "console.lost.page"),
)

bp = Blueprint(
    "console",
    __name__,
    url_prefix="/console",
    template_folder="templates",
    static_folder="static",
)

# The guard stands on the parent, so a room that is added here is behind it by itself.
bp.before_request(guard.admit)
bp.after_request(guard.finish)
bp.register_blueprint(sign_in.bp)
bp.register_blueprint(editor.bp)
for page in PAGES:
    bp.register_blueprint(page.bp)
problems.register(bp)


@bp.context_processor
def _menu() -> dict[str, Any]:
    return {"PAGES": PAGES, "say": people_words, **guard.context()}
