"""Channel codes (渠道活码): what WeCom should have of each, and what it has by now.

This room decides; `handlers.contact_ways` puts the differences into the outbox, which stands on a
higher step than the customer book.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bot.crm.models import ChannelCode
from bot.errors import UserError
from bot.wecom import bodies

CREATE = "contact_way_create"
UPDATE = "contact_way_update"

_APIS = {
    CREATE: "externalcontact/add_contact_way",
    UPDATE: "externalcontact/update_contact_way",
}

# A guide who left cannot receive customers; WeCom would refuse the whole code because of one.
_ACTIVE_CODES = text(
    """
    SELECT c.id, c.name, c.state, c.skip_verify, c.config_id, c.queued_hash, c.push_no,
           c.push_error, COALESCE(array_agg(g.userid ORDER BY k.position, g.id)
                                  FILTER (WHERE g.is_active), '{}') AS userids
    FROM channel_code c
    LEFT JOIN channel_code_guide k ON k.channel_code_id = c.id
    LEFT JOIN guide g ON g.id = k.guide_id
    WHERE c.is_active
    GROUP BY c.id ORDER BY c.id
    """
)
_LOCK_CODES = text("SELECT id FROM channel_code WHERE is_active ORDER BY id FOR NO KEY UPDATE")
_QUEUED = text(
    """
    UPDATE channel_code c SET queued_hash = r.hash, push_no = c.push_no + 1, push_error = NULL
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, hash text) WHERE c.id = r.id
    """
)
_REFUSED = text(
    """
    UPDATE channel_code c SET push_error = r.error
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, error text)
    WHERE c.id = r.id AND c.push_error IS DISTINCT FROM r.error
    """
)


class Ended(Protocol):
    """What is read of a delivery of the outbox when it has ended."""

    @property
    def subject(self) -> dict[str, Any]: ...
    @property
    def result(self) -> dict[str, Any] | None: ...
    @property
    def last_error(self) -> str | None: ...


@dataclass(frozen=True)
class Difference:
    """One call that brings WeCom's contact way to what is wanted."""

    kind: str
    api: str
    body: bytes
    dedupe_key: str
    order_key: str
    subject: dict[str, Any]


def wanted_body(
    *, name: str, state: str, skip_verify: bool, userids: Sequence[str], config_id: str | None
) -> bytes:
    """The request that makes a code, or with a `config_id` changes it, to what is wanted.

    UserError when WeCom would refuse it: no guide, more than 100, a state of over 30 characters.
    """
    wanted: dict[str, Any] = {
        "userids": list(userids),
        "state": state,
        "remark": name,
        "skip_verify": skip_verify,
    }
    if config_id is not None:
        return bodies.update_contact_way_body(config_id, **wanted)
    body = json.loads(bodies.contact_way_body(**wanted))
    # The type cannot be changed later: a code of one guide must be able to get a second one.
    return bodies.freeze(body | {"type": 2})


def differences(session: Session) -> list[Difference]:
    """What WeCom does not have yet; each difference is returned once, then counts as under way.

    Codes that are switched off are left as they are in WeCom: printed codes outlive campaigns.
    """
    session.execute(_LOCK_CODES)
    found: list[Difference] = []
    queued, refused = [], []
    for row in session.execute(_ACTIVE_CODES).mappings():
        try:
            difference = _difference(dict(row))
        except UserError as error:
            refused.append({"id": row["id"], "error": error.message_zh})
            continue
        if difference is not None:
            found.append(difference)
            queued.append({"id": row["id"], "hash": difference.subject["hash"]})
    if queued:
        session.execute(_QUEUED, {"rows": json.dumps(queued)})
    if refused:
        session.execute(_REFUSED, {"rows": json.dumps(refused, ensure_ascii=False)})
    return found


def created(session: Session, delivery: Ended) -> None:
    """WeCom has made the code: keep the config_id, which it shows nowhere else, and the picture."""
    code = _code(session, delivery)
    result = delivery.result or {}
    config_id = result.get("config_id")
    if code is None or not isinstance(config_id, str) or not config_id:
        return
    if code.config_id is None:
        code.config_id = config_id
        code.qr_code_url = result.get("qr_code") or code.qr_code_url
    _pushed(session, code, delivery)


def updated(session: Session, delivery: Ended) -> None:
    """WeCom has changed the code."""
    code = _code(session, delivery)
    if code is not None:
        _pushed(session, code, delivery)


def push_failed(session: Session, delivery: Ended) -> None:
    """WeCom refused for good: the reason is kept, and only another wish is sent again."""
    code = _code(session, delivery)
    if code is not None:
        code.push_error = (delivery.last_error or "企业微信没有接受这个渠道码")[:500]


def by_state(session: Session, state: str) -> ChannelCode | None:
    """The code a customer scanned."""
    return session.scalar(select(ChannelCode).where(ChannelCode.state == state))


def _difference(row: Mapping[str, Any]) -> Difference | None:
    wish = {name: row[name] for name in ("name", "state", "skip_verify", "userids")}
    # The hash is of the wish, not of the request, so that creating and changing compare alike.
    wished = hashlib.sha256(wanted_body(**wish, config_id="")).hexdigest()
    if wished == row["queued_hash"]:
        return None
    is_new = row["config_id"] is None
    if is_new and row["queued_hash"] is not None and row["push_error"] is None:
        # Its creation is under way; a second one would make a second code.
        return None
    kind = CREATE if is_new else UPDATE
    return Difference(
        kind=kind,
        api=_APIS[kind],
        body=wanted_body(**wish, config_id=row["config_id"]),
        dedupe_key=f"contact_way:{row['id']}:{row['push_no'] + 1}",
        order_key=f"contact_way:{row['id']}",
        subject={"channel_code_id": row["id"], "hash": wished, "state": row["state"]},
    )


def _code(session: Session, delivery: Ended) -> ChannelCode | None:
    return session.get(ChannelCode, delivery.subject["channel_code_id"], with_for_update=True)


def _pushed(session: Session, code: ChannelCode, delivery: Ended) -> None:
    code.pushed_hash = delivery.subject["hash"]
    code.pushed_at = session.scalar(select(func.now()))
    code.push_error = None
