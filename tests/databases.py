"""One migrated database for each test in turn: as empty as a new one, several times as quick.

A copy of the template costs a tenth of a second of both cores, most tests fill a few rows. So the
database of the last test is emptied and taken again, under a new name: a thread the last test left
behind finds no database where it looks. Whatever else a test changed but rows (a table, a column,
a setting, statistics) has the database thrown away.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

Admin = psycopg.Connection[TupleRow]
Address = Callable[[str], str]

_PATIENCE = 10.0
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
    "pg_namespace": "oid",
    "pg_policy": "oid",
    "pg_proc": "oid",
    "pg_rewrite": "ev_class",
    "pg_statistic": "starelid",
    "pg_trigger": "tgrelid",
    "pg_type": "oid",
}
# PostgreSQL's own objects have lower numbers.
_FIRST_OF_OURS = 16384
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
        """Everybody is sent away; the database is emptied for the next test, or dropped."""
        found = self._taken.pop(name)
        # Nobody comes any more, so nobody is left after those who are here have gone.
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        self._await_nobody(name)
        found.name = self._new_name()
        self._run("ALTER DATABASE {} RENAME TO {}", name, found.name)
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", found.name)
        if found.uses < _USES and self._empty(found):
            # Its own way out takes the server a moment, and a rename waits long for anybody.
            self._await_nobody(found.name)
            self._spare.append(found)
        else:
            self._run("DROP DATABASE {} WITH (FORCE)", found.name)

    def _empty(self, found: _Database) -> bool:
        """Empty every table and restart every count; False: more than rows was changed."""
        with psycopg.connect(self._address(found.name), autocommit=True) as connection:
            if self._look(connection) != found.looks:
                return False
            filled = [row[0] for row in connection.execute(_FILLED) if row[0] not in self._kept]
            # Keys and triggers need not be asked: everything goes.
            connection.execute("SET session_replication_role = replica")
            with connection.pipeline():
                for table in filled:
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                for (sequence,) in connection.execute(_COUNTED).fetchall():
                    connection.execute("SELECT setval(%s::regclass, 1, false)", (sequence,))
            if filled:
                # Gone from the file too: the next test's rows lie in the order it wrote them.
                names = sql.SQL(", ").join(map(sql.Identifier, filled))
                connection.execute(sql.SQL("VACUUM {}").format(names))
                # A table that is known to be empty gets other plans than one nothing is known of.
                connection.execute(_FORGET, (list(self._kept),))
                found.looks = self._look(connection)
            return not connection.execute(_FILLED + " OFFSET %s", (len(self._kept),)).fetchall()

    def _look(self, connection: Admin) -> list[TupleRow]:
        count = "SELECT count(*), max(xmin::text::bigint) FROM {}"
        counts = [
            *(
                f"{count.format(one)} WHERE {owner} >= {_FIRST_OF_OURS}"
                for one, owner in _CATALOGS.items()
            ),
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
