"""The pretend corp and its town: its people, and the ledger of what reached them (效果账本)."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.config import SandboxConfig
from bot.sandbox.store import Store

ROOT_DEPARTMENT = 1
ACTIVE, DISABLED, NOT_ACTIVATED, LEFT = 1, 2, 4, 5


@dataclass(frozen=True)
class Effect:
    """One thing that really reached a person (or changed the corp's data). Written once."""

    id: int
    at: datetime
    kind: str
    who: str
    external_userid: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Letter:
    """One thing for the postman: `channel` wecom, till; `state` queued, delivered, given_up, lost.

    A doubled callback is two letters with the same plaintext.
    """

    id: int
    channel: str
    kind: str
    plaintext: bytes
    state: str
    tries: int
    outcome: str
    created_at: datetime
    acked_at: datetime | None


def new_id(prefix: str = "", size: int = 32) -> str:
    """An opaque id of `size` characters in all, as the platform makes them."""
    return prefix + secrets.token_hex(size)[: size - len(prefix)]


def dump(value: Any) -> str:
    """JSON as it is kept in the file."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Town(Store):
    """The state of one pretend corp; `effects` is what tests and the phones judge by."""

    def __init__(self, config: SandboxConfig) -> None:
        super().__init__(config.db_path)
        self.config = config
        self.clock = config.clock
        with self.write(quiet=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO department VALUES (?, 'root', ?, 0, 0)",
                (ROOT_DEPARTMENT, config.corp_name),
            )

    def now(self) -> float:
        """The town's time in Unix seconds; it may run ahead of the real one."""
        return self.clock.now().timestamp()

    # -- the ledger ------------------------------------------------------------------------

    def record(
        self, db: sqlite3.Connection, kind: str, who: str, external_userid: str = "", **payload: Any
    ) -> None:
        """Write one effect, in the transaction that causes it."""
        db.execute(
            "INSERT INTO effect (at, kind, who, external_userid, payload) VALUES (?, ?, ?, ?, ?)",
            (self.now(), kind, who, external_userid, dump(payload)),
        )

    def effects(self, kind: str | None = None, *, since: int = 0) -> list[Effect]:
        """The ledger in order, of one kind or of all, after the effect with id `since`."""
        with self.read() as db:
            rows = db.execute(
                "SELECT * FROM effect WHERE id > ? AND (? IS NULL OR kind = ?) ORDER BY id",
                (since, kind, kind),
            ).fetchall()
        return [
            Effect(
                row["id"],
                datetime.fromtimestamp(row["at"], UTC),
                row["kind"],
                row["who"],
                row["external_userid"],
                json.loads(row["payload"]),
            )
            for row in rows
        ]

    def log_call(self, api: str, errcode: int) -> None:
        """Remember one answered call; the oldest are forgotten."""
        with self.write(quiet=True) as db:
            added = db.execute(
                "INSERT INTO call_log (at, api, errcode) VALUES (?, ?, ?)",
                (self.now(), api, errcode),
            )
            last = (added.lastrowid or 0) - self.config.kept_calls
            db.execute("DELETE FROM call_log WHERE id <= ?", (last,))

    def forget_letters(self, db: sqlite3.Connection) -> None:
        """Forget the oldest letters whose way has ended."""
        db.execute(
            "DELETE FROM callback WHERE id <= (SELECT MAX(id) FROM callback) - ? "
            "AND state <> 'queued'",
            (self.config.kept_letters,),
        )

    def calls(self, api: str | None = None) -> list[tuple[str, int]]:
        """The calls the platform answered, in order: (api, errcode)."""
        with self.read() as db:
            rows = db.execute(
                "SELECT api, errcode FROM call_log WHERE ? IS NULL OR api = ? ORDER BY id",
                (api, api),
            ).fetchall()
        return [(row["api"], row["errcode"]) for row in rows]

    def letters(self, state: str | None = None) -> list[Letter]:
        """The callbacks and purchase reports, in the order in which they arose."""
        with self.read() as db:
            rows = db.execute(
                "SELECT * FROM callback WHERE ? IS NULL OR state = ? ORDER BY id", (state, state)
            ).fetchall()
        return [
            Letter(
                row["id"],
                row["channel"],
                row["kind"],
                bytes(row["plaintext"]),
                row["state"],
                row["tries"],
                row["outcome"],
                datetime.fromtimestamp(row["created_at"], UTC),
                datetime.fromtimestamp(row["acked_at"], UTC) if row["acked_at"] else None,
            )
            for row in rows
        ]

    # -- who lives there -------------------------------------------------------------------

    def add_department(
        self, name: str, *, parent_id: int = ROOT_DEPARTMENT, code: str | None = None
    ) -> int:
        """A department (区域 or 门店). With a `code` it is made once and renamed afterwards."""
        with self.write() as db:
            return insert_department(db, name, parent_id, code)

    def add_member(
        self,
        userid: str,
        name: str,
        *,
        department_id: int = ROOT_DEPARTMENT,
        is_leader: bool = False,
        status: int = ACTIVE,
        is_visible: bool = True,
        is_verified: bool = True,
        has_contacts: bool = True,
        position: str = "导购",
    ) -> str:
        """A member of the corp; the same userid again changes that member."""
        row = (
            userid, name, "", position, department_id, is_leader, status,
            is_visible, is_verified, has_contacts,
        )  # fmt: skip
        with self.write() as db:
            insert_members(db, [row])
        return userid

    def add_customer(
        self,
        name: str,
        *,
        gender: int = 0,
        unionid: str | None = None,
        mobile: str | None = None,
        member_no: str | None = None,
        external_userid: str | None = None,
        avatar: str = "",
        type: int = 1,
        corp_name: str = "",
        is_featured: bool = True,
    ) -> str:
        """A person with WeChat (type 1) or another corp's WeCom (type 2); returns the id.

        A WeChat person without a given unionid gets one. Only featured people are listed on the
        pages by themselves; the others are found by search.
        """
        chosen = external_userid or new_id("wm")
        union = unionid or (new_id("o", 28) if type == 1 else None)
        row = (
            chosen, name, gender, union, mobile, member_no, avatar, type, corp_name,
            is_featured, self.now(),
        )  # fmt: skip
        with self.write() as db:
            insert_customers(db, [row])
        return chosen

    def befriend(
        self,
        userid: str,
        external_userid: str,
        *,
        at: datetime | None = None,
        state: str = "",
        add_way: int = 1,
        remark: str = "",
    ) -> None:
        """A friendship from before the story begins: no events, no welcome."""
        moment = at.timestamp() if at else self.now()
        row = (userid, external_userid, remark, add_way, state, external_userid, moment)
        with self.write() as db:
            insert_friendships(db, [row])

    def add_kf_account(
        self,
        name: str,
        *,
        open_kfid: str | None = None,
        servicers: Iterable[str] = (),
        is_granted: bool = True,
    ) -> str:
        """A 微信客服 account that the app manages; returns its open_kfid."""
        chosen = open_kfid or new_id("wk")
        with self.write() as db:
            db.execute(
                "INSERT INTO kf_account SELECT ?, ?, '', ?, COUNT(*) FROM kf_account WHERE true "
                "ON CONFLICT DO UPDATE SET name = excluded.name, is_granted = excluded.is_granted",
                (chosen, name, is_granted),
            )
            db.executemany(
                "INSERT OR IGNORE INTO kf_servicer VALUES (?, ?, 0)",
                [(chosen, userid) for userid in servicers],
            )
        return chosen


def insert_department(db: sqlite3.Connection, name: str, parent_id: int, code: str | None) -> int:
    """One department inside a running transaction; returns its id."""
    row = db.execute(
        "INSERT INTO department (code, name, parent_id, sort) VALUES (?, ?, ?, 0) "
        "ON CONFLICT (code) DO UPDATE SET name = excluded.name, parent_id = excluded.parent_id "
        "RETURNING id",
        (code, name, parent_id),
    ).fetchone()
    return int(row["id"])


def insert_members(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Members in the column order of the table."""
    db.executemany(
        "INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "name = excluded.name, position = excluded.position, "
        "department_id = excluded.department_id, is_leader = excluded.is_leader, "
        "status = excluded.status, is_visible = excluded.is_visible, "
        "is_verified = excluded.is_verified, has_contacts = excluded.has_contacts",
        rows,
    )


def insert_customers(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Customers in the column order of the table; known ids are left as they are."""
    db.executemany("INSERT OR IGNORE INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def insert_friendships(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """(userid, external_userid, remark, add_way, state, oper_userid, created_at) each."""
    db.executemany(
        "INSERT OR IGNORE INTO relation (userid, external_userid, remark, add_way, state, "
        "oper_userid, created_at, stage) VALUES (?, ?, ?, ?, ?, ?, ?, 'friend')",
        rows,
    )
