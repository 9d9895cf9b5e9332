"""Door: the guides' pages on the phone (导购 H5). ROOMS is the closed table of its rooms."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint

from handlers.h5 import (
    contact,
    contacts,
    guard,
    leads,
    problems,
    sign_in,
    spoken,
    tasks,
    today,
    words,
)


@dataclass(frozen=True)
class Room:
    """One page family: its word in the tab bar (None: reached from another page) and its home."""

    label: str | None
    bp: Blueprint
    home: str


ROOMS: tuple[Room, ...] = (
    Room("今日", today.bp, "h5.today.page"),
    Room("客户", contacts.bp, "h5.contacts.page"),
    Room("话术", words.bp, "h5.words.page"),
    Room(None, tasks.bp, "h5.today.page"),
    Room(None, leads.bp, "h5.today.page"),
    Room(None, contact.bp, "h5.contacts.page"),
)

bp = Blueprint(
    "h5", __name__, url_prefix="/h5", template_folder="templates", static_folder="static"
)

# The guard stands on the parent, so a room that is added here is behind it by itself.
bp.before_request(guard.admit)
bp.after_request(guard.finish)
bp.context_processor(guard.context)
bp.register_blueprint(sign_in.bp)
for room in ROOMS:
    bp.register_blueprint(room.bp)
spoken.register(bp)
problems.register(bp)
