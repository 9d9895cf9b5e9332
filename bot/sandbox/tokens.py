"""access_token and JS-SDK tickets: issued, kept the same while they live, forced dead by a knob."""

from __future__ import annotations

import hmac
import sqlite3

from bot.sandbox import knobs
from bot.sandbox.fields import Ask
from bot.sandbox.frequency import spend
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, new_id

LIFE = 7200
# A token with less life than this is not handed out any more; a fresh one is made.
_NEAR_EXPIRY = 300
_WRONG_SECRETS_PER_HOUR = 2000


def gettoken(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, object]:
    """The app's token; the same one until it is near its end."""
    corp_id, secret = ask.args.get("corpid", ""), ask.args.get("corpsecret", "")
    if not corp_id:
        raise Refusal(41002, "corpid missing")
    if not secret:
        raise Refusal(41004, "corpsecret missing")
    if corp_id != town.config.corp_id:
        raise Refusal(40013)
    if not hmac.compare_digest(secret.encode(), town.config.app_secret.encode()):
        raise Refusal(40001)
    if not knobs.knob(db, "app_is_enabled"):
        raise Refusal(50003, "app disabled")
    now = town.now()
    row = db.execute(
        "SELECT token, expires_at FROM access_token WHERE NOT is_dead AND expires_at > ? "
        "ORDER BY expires_at DESC",
        (now + _NEAR_EXPIRY,),
    ).fetchone()
    if row is not None:
        return {"access_token": row["token"], "expires_in": int(row["expires_at"] - now)}
    token = new_id(size=214)
    db.execute("INSERT INTO access_token (token, expires_at) VALUES (?, ?)", (token, now + LIFE))
    return {"access_token": token, "expires_in": LIFE}


def count_wrong_secret(town: Town, db: sqlite3.Connection, caller: str) -> None:
    """Hammering gettoken with a wrong secret blocks that address for an hour."""
    spend(db, town.now(), wrong_secret_name(caller), 3600, _WRONG_SECRETS_PER_HOUR)


def wrong_secret_name(caller: str) -> str:
    """Under which name wrong secrets of one address are counted and blocked."""
    return f"gettoken wrong {caller}"


def check(town: Town, db: sqlite3.Connection, token: str) -> None:
    """G1 to G3: missing, unknown, dead."""
    if not token:
        raise Refusal(41001)
    row = db.execute("SELECT * FROM access_token WHERE token = ?", (token,)).fetchone()
    if row is None:
        raise Refusal(40014)
    if row["is_dead"] or town.now() >= row["expires_at"]:
        raise Refusal(42001)


def corp_ticket(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, object]:
    """get_jsapi_ticket: the corp's ticket."""
    spend(db, town.now(), "jsapi corp", 3600, 400)
    return _ticket(town, db, "corp")


def app_ticket(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, object]:
    """ticket/get?type=agent_config: the app's ticket."""
    if ask.args.get("type") != "agent_config":
        raise Refusal(91040, "invalid ticket type")
    spend(db, town.now(), "jsapi app", 3600, 100)
    return _ticket(town, db, "agent_config")


def _ticket(town: Town, db: sqlite3.Connection, kind: str) -> dict[str, object]:
    now = town.now()
    row = db.execute("SELECT * FROM ticket WHERE kind = ?", (kind,)).fetchone()
    if row is not None and row["expires_at"] > now:
        return {"ticket": row["ticket"], "expires_in": int(row["expires_at"] - now)}
    ticket = new_id(size=86)
    db.execute("INSERT OR REPLACE INTO ticket VALUES (?, ?, ?)", (kind, ticket, now + LIFE))
    return {"ticket": ticket, "expires_in": LIFE}
