"""What a test or a demo may turn: faults of the platform, of the line, and the corp's switches."""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bot.errors import UserError
from bot.sandbox.town import Town, dump

# name -> default. Numbers, booleans, lists and None only; a knob keeps the type of its default
# unless that is None.
KNOBS: dict[str, Any] = {
    # the platform
    "latency": 0.0,  # seconds every call takes
    "minute_limit": 10_000,
    "hour_limit": 150_000,
    "concurrent_limit": 400,
    "account_limit": None,  # None: the number of members, at least 200
    "app_is_enabled": True,
    "denied_families": [],  # "contact", "kf", "message": not granted to the app (48002)
    "trusted_ips": None,  # None: every caller is trusted
    "developer_account_bound": True,
    "archive_is_on": False,
    "console_welcome": False,  # HQ set a welcome in the console: events carry no code
    "accept_after": None,  # None: as configured
    # mass messages and moments
    "mass_wait": 1.0,  # seconds in which a new mass message answers 41063 to questions
    "mass_per_month": None,  # None: as many a customer as the month has days
    "moment_wait": 2.0,  # seconds until the job of a new moment is done
    # 微信客服
    "kf_page_size": 1000,
    "kf_empty_pages": 0,  # how many empty pages with has_more=1 come before the real one
    "kf_calls_without_token": 60,  # a minute
    # the line to the callback URL
    "callback_tries": 3,
    "callback_wait": 1.0,
    "callback_deadline": 5.0,
    "callback_loss": 0.0,
    "callback_duplicate": 0.0,
    "callback_delay": 0.0,
    "callback_reorder": 0.0,  # every callback waits a random time up to this many seconds
    "callback_paused": False,
}

# kind -> what `value` means.
FAULTS: dict[str, str] = {
    "errcode": "answer this errcode, change nothing",
    "latency": "take this many seconds longer, then do as asked",
    "hang_after": "do as asked, then answer only after this many seconds",
    "status": "answer this HTTP status with an HTML page, change nothing",
    "html": "answer 200 with an HTML page, change nothing",
    "truncate_after": "do as asked, then answer half of the JSON",
}


@dataclass(frozen=True)
class Fault:
    """One fault that strikes this call."""

    kind: str
    value: float


def knob(db: sqlite3.Connection, name: str) -> Any:
    """The value of one knob."""
    row = db.execute("SELECT value FROM knob WHERE name = ?", (name,)).fetchone()
    return KNOBS[name] if row is None else json.loads(row["value"])


def every(db: sqlite3.Connection) -> dict[str, Any]:
    """All knobs as they stand."""
    turned = {row["name"]: json.loads(row["value"]) for row in db.execute("SELECT * FROM knob")}
    return {name: turned.get(name, default) for name, default in KNOBS.items()}


def waiting(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """The faults that will still strike: {api, kind, value, times_left}."""
    rows = db.execute("SELECT api, kind, value, times_left FROM fault ORDER BY id")
    return [dict(row) for row in rows]


def turn(town: Town, **values: Any) -> None:
    """Set knobs; an unknown name or a wrong type changes nothing."""
    for name, value in values.items():
        if name not in KNOBS:
            raise UserError(f"没有名为 {name} 的旋钮。")
        if not _fits(KNOBS[name], value):
            raise UserError(f"旋钮 {name} 的值类型不对。")
    with town.write() as db:
        db.executemany(
            "INSERT INTO knob VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [(name, dump(value)) for name, value in values.items()],
        )


def _fits(default: Any, value: Any) -> bool:
    if default is None:
        return value is None or isinstance(value, (int, float, list, bool))
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and value >= 0
    return isinstance(value, type(default))


def reset(town: Town) -> None:
    """Every knob back to its default, no faults."""
    with town.write() as db:
        db.execute("DELETE FROM knob")
        db.execute("DELETE FROM fault")


def add_fault(
    town: Town,
    api: str,
    kind: str,
    value: float = 0,
    *,
    times: int | None = 1,
    probability: float = 1.0,
) -> None:
    """Let calls of `api` ("*": every one) fail; `times=None` until faults are cleared."""
    if kind not in FAULTS:
        raise UserError(f"没有名为 {kind} 的故障。")
    with town.write() as db:
        db.execute(
            "INSERT INTO fault (api, kind, value, times_left, probability) VALUES (?, ?, ?, ?, ?)",
            (api, kind, value, times, probability),
        )


def clear_faults(town: Town) -> None:
    """No more faults; knobs stay."""
    with town.write() as db:
        db.execute("DELETE FROM fault")


def strike(db: sqlite3.Connection, api: str) -> list[Fault]:
    """The faults that hit this call, counted down: at most one of each kind."""
    struck: dict[str, Fault] = {}
    for row in db.execute("SELECT * FROM fault WHERE api IN (?, '*') ORDER BY id", (api,)):
        if row["kind"] in struck or random.random() >= row["probability"]:
            continue
        struck[row["kind"]] = Fault(row["kind"], row["value"])
        if row["times_left"] is not None:
            db.execute("UPDATE fault SET times_left = times_left - 1 WHERE id = ?", (row["id"],))
    if struck:
        db.execute("DELETE FROM fault WHERE times_left <= 0")
    return list(struck.values())


def expire_tokens(town: Town) -> None:
    """Every access token of this moment answers 42001 from now on."""
    with town.write() as db:
        db.execute("UPDATE access_token SET is_dead = 1")


def let_pass(town: Town, by: timedelta) -> None:
    """Move the town's clock forward."""
    town.clock.advance(by)
    with town.write() as db:
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
