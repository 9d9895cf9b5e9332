"""One migrated database for each test in turn: as empty as a new one, several times as quick.

A copy of the template costs a tenth of a second of both cores, most tests fill a few rows. So the
database of the last test is emptied and taken again, with the connections that rest
(`tests.connections`). Where somebody else is still connected when a test ends, all are sent away
and the database gets a new name: who was left behind finds no database where he looks. Whatever
else a test changed but rows (a table, a column, a setting, statistics) has it thrown away.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tests.connections import connections

Admin = psycopg.Connection[TupleRow]
Address = Callable[[str], str]

_PATIENCE = 10.0
# A connection that was closed takes the server a moment to notice.
_LEAVING_SECONDS = 0.02
# Index pages of deleted rows stay; a database is not used so often that they would be felt.
_USES = 100
# What a test may have changed besides the rows of tables: any new, changed or dropped row of these
# catalogs; the column says whose row it is.
_CATALOGS = {
    "pg_attrdef": "adrelid",
    "pg_attribute": "attrelid",
    "pg_class": "oid",
    "pg_constraint": "oid",
    "pg_event_trigger": "oid",
    "pg_extension": "oid",
    "pg_index": "indexrelid",
    "pg_largeobject_metadata": "oid",
    "pg_policy": "oid",
    "pg_proc": "oid",
    "pg_rewrite": "ev_class",
    "pg_statistic": "starelid",
    "pg_trigger": "tgrelid",
    "pg_type": "oid",
}
# PostgreSQL's own objects have lower numbers.
_FIRST_OF_OURS = 16384
# A connection that makes a temporary table leaves a place for such tables, as empty as it was.
_LASTING = f"WHERE oid >= {_FIRST_OF_OURS} AND NOT nspname ~ '^pg_(toast_)?temp_'"
_SETTINGS = (
    "SELECT count(*), 0 FROM pg_db_role_setting d JOIN pg_database b ON b.oid = d.setdatabase"
    " WHERE b.datname = current_database()"
)
_FILLED = (
    "SELECT relname FROM pg_class WHERE relkind = 'r'"
    " AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0 ORDER BY 1"
)
_FORGET = (
    "SELECT pg_clear_relation_stats('public', relname) FROM pg_class WHERE relkind = 'r'"
    " AND relnamespace = 'public'::regnamespace AND reltuples >= 0 AND NOT relname = ANY(%s)"
)
_COUNTED = "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"


@dataclass
class _Database:
    name: str
    #: Its catalogs when it was handed out; anything else afterwards is a change.
    looks: list[TupleRow]
    uses: int = 0
    #: Our own connection to it, while it keeps its name.
    desk: Admin | None = None


class Databases:
    """The databases of one server. `take` gives an empty one, `give_back` ends its use."""

    def __init__(self, admin: Admin, address: Address, template: str) -> None:
        self._admin = admin
        self._address = address
        self._template = template
        self._numbers = itertools.count(1)
        self._spare: list[_Database] = []
        self._taken: dict[str, _Database] = {}
        with psycopg.connect(address(template), autocommit=True) as connection:
            # Rows the migrations wrote belong to every database.
            self._kept = tuple(row[0] for row in connection.execute(_FILLED))
            self._as_made = self._look(connection)
        self._await_nobody(template)

    def take(self) -> str:
        """The name of an empty, migrated database that nobody is connected to."""
        found = self._spare.pop() if self._spare else _Database(self._new_name(), self._as_made)
        if not found.uses:
            self._run("CREATE DATABASE {} TEMPLATE {}", found.name, self._template)
        found.uses += 1
        self._taken[found.name] = found
        return found.name

    def give_back(self, name: str) -> None:
        """Everybody who is not at rest is sent away; the database is emptied, or dropped."""
        found = self._taken.pop(name)
        if not self._are_alone(found):
            self._send_away(found)
        if found.uses < _USES and self._empty(found):
            self._spare.append(found)
        else:
            self._leave(found)
            self._run("DROP DATABASE {} WITH (FORCE)", found.name)

    def close(self) -> None:
        """Leave all databases; the server goes."""
        for found in (*self._spare, *self._taken.values()):
            self._leave(found)

    def _are_alone(self, found: _Database) -> bool:
        """Whether all who are connected rest (or are ourselves) and nobody can come back."""
        resting = connections.end_turn(found.name)
        if found.desk is not None:
            resting.add(found.desk.info.backend_pid)
        deadline = time.monotonic() + _LEAVING_SECONDS
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        while True:
            here = {row[0] for row in self._admin.execute(query, (found.name,))}
            if here == resting or time.monotonic() > deadline:
                return here == resting
            time.sleep(0.001)

    def _send_away(self, found: _Database) -> None:
        name = found.name
        self._leave(found)
        # Nobody comes any more, so nobody is left after those who are here have gone.
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        self._await_nobody(name)
        found.name = self._new_name()
        self._run("ALTER DATABASE {} RENAME TO {}", name, found.name)
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", found.name)

    def _leave(self, found: _Database) -> None:
        connections.forget(found.name)
        if found.desk is not None:
            found.desk.close()
            found.desk = None

    def _desk(self, found: _Database) -> Admin:
        if found.desk is None:
            found.desk = psycopg.connect(self._address(found.name), autocommit=True)
            # Keys and triggers need not be asked: everything goes.
            found.desk.execute("SET session_replication_role = replica")
        return found.desk

    def _empty(self, found: _Database) -> bool:
        """Empty every table and restart every count; False: more than rows was changed."""
        desk = self._desk(found)
        if self._look(desk) != found.looks:
            return False
        filled = [row[0] for row in desk.execute(_FILLED) if row[0] not in self._kept]
        with desk.pipeline():
            for table in filled:
                desk.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            for (sequence,) in desk.execute(_COUNTED).fetchall():
                desk.execute("SELECT setval(%s::regclass, 1, false)", (sequence,))
        if filled:
            # Gone from the file too: the next test's rows lie in the order it wrote them.
            names = sql.SQL(", ").join(map(sql.Identifier, filled))
            desk.execute(sql.SQL("VACUUM {}").format(names))
            # A table that is known to be empty gets other plans than one nothing is known of.
            desk.execute(_FORGET, (list(self._kept),))
            found.looks = self._look(desk)
        return not desk.execute(_FILLED + " OFFSET %s", (len(self._kept),)).fetchall()

    def _look(self, connection: Admin) -> list[TupleRow]:
        count = "SELECT count(*), max(xmin::text::bigint) FROM {}"
        counts = [
            *(
                f"{count.format(one)} WHERE {owner} >= {_FIRST_OF_OURS}"
                for one, owner in _CATALOGS.items()
            ),
            f"{count.format('pg_namespace')} {_LASTING}",
            *(count.format(one) for one in self._kept),
            _SETTINGS,
        ]
        try:
            return connection.execute(" UNION ALL ".join(counts)).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def _await_nobody(self, name: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        query = "SELECT FROM pg_stat_activity WHERE datname = %s"
        while self._admin.execute(query, (name,)).fetchone() is not None:
            assert time.monotonic() < deadline, f"somebody stays connected to {name}"
            time.sleep(0.001)

    def _new_name(self) -> str:
        return f"test_{next(self._numbers)}"

    def _run(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
