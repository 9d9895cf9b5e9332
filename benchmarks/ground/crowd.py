"""A crowd of customers (客户数据): contacts, relations, members and three years of orders, by SQL.

The distributions are those of a jeweller: most buyers bought once, few spend a lot, a tenth was
never followed by a guide. Seeded: the same size gives the same data.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from sqlalchemy import Table
from sqlalchemy.engine import Engine

from bot.db import Base

_LOADED = ("contact", "follow_relation", "member", "purchase", "purchase_line")
_CATEGORIES = "ARRAY['钻戒','对戒','项链','耳饰','手链','黄金']"

_CONTACTS = """
    INSERT INTO contact (external_userid, name, gender, guide_id, followed_on, fetched_at,
                         created_at)
    SELECT CASE WHEN followed THEN 'wm' || lpad(n::text, 30, '0') END, '客户' || n,
           (n %% 3), CASE WHEN followed THEN guide END, CASE WHEN followed THEN since END,
           since, since
    FROM (
        SELECT n, random() < 0.9 AS followed, 1 + floor(random() * %(guides)s)::int AS guide,
               %(day)s::date - 1 - floor(1095 * power(random(), 1.3))::int AS since
        FROM generate_series(1, %(contacts)s) AS n
    ) AS person
"""
_RELATIONS = """
    INSERT INTO follow_relation (guide_id, contact_id, state, followed_at, followed_on, changed_at)
    SELECT guide_id, id, 'active', followed_on + interval '4 hours', followed_on, followed_on
    FROM contact WHERE guide_id IS NOT NULL
    UNION ALL
    SELECT 1 + guide_id %% %(guides)s, id, 'active', followed_on + interval '6 hours',
           followed_on, followed_on
    FROM contact WHERE guide_id IS NOT NULL AND id %% 33 = 0
"""
_MEMBERS = """
    INSERT INTO member (contact_id, member_no, name, level, points, birth_month, birth_day,
                        birthday_is_lunar, wedding_month, wedding_day, registered_on)
    SELECT id, 'M' || id, '会员' || id,
           (ARRAY['银卡','银卡','银卡','金卡','金卡','钻卡'])[1 + floor(random() * 6)::int],
           floor(20000 * power(random(), 3))::int,
           CASE WHEN id %% 5 > 0 THEN 1 + floor(random() * 12)::int END,
           CASE WHEN id %% 5 > 0 THEN 1 + floor(random() * 28)::int END,
           id %% 20 = 1,
           CASE WHEN id %% 10 = 0 THEN 1 + floor(random() * 12)::int END,
           CASE WHEN id %% 10 = 0 THEN 1 + floor(random() * 28)::int END,
           created_at::date
    FROM contact WHERE random() < 0.7
"""
# Half of the people never buy; of the others, some come back far more often than the rest.
_PURCHASES = """
    INSERT INTO purchase (source, order_no, contact_id, store_id, store_code, guide_id, amount_fen,
                          refunded_fen, purchased_at, purchased_on, event_id)
    SELECT 'pos', %(prefix)s || n, 1 + floor(%(contacts)s * 0.75 * power(random(), 1.6))::bigint,
           1 + n %% %(stores)s, 'S' || 1 + n %% %(stores)s, NULL, fen,
           CASE WHEN n %% 40 = 0 THEN fen WHEN n %% 55 = 0 THEN fen / 3 ELSE 0 END,
           day + interval '6 hours', day, %(prefix)s || n
    FROM (
        SELECT n, (50000 + 400000 * -ln(1 - random()))::bigint AS fen,
               %(day)s::date - floor(%(days)s * random())::int AS day
        FROM generate_series(1, %(purchases)s) AS n
    ) AS bill
"""
_LINES = f"""
    INSERT INTO purchase_line (purchase_id, line_no, name, category, amount_fen)
    SELECT id, line, '商品', ({_CATEGORIES})[1 + floor(6 * power(random(), 1.5))::int],
           amount_fen / CASE WHEN id %% 5 = 0 THEN 2 ELSE 1 END
    FROM purchase CROSS JOIN generate_series(1, 2) AS line
    WHERE (line = 1 OR id %% 5 = 0) AND order_no LIKE %(prefix)s || '%%'
"""


def load(engine: Engine, install: Any, *, contacts: int, guides: int, day: date) -> int:
    """Fill the empty tables, indexes made last; returns the number of orders."""
    tables = [Base.metadata.tables[name] for name in _LOADED]
    with engine.begin() as connection:
        for index in _indexes(tables):
            index.drop(connection)
    orders = int(contacts * 2.5)
    numbers = {"contacts": contacts, "guides": guides, "day": day, "stores": max(guides // 5, 1)}
    with install.connect() as connection:
        # The rows are right by construction; checking each reference would take longer than all.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT setseed(0.5)")
        for statement in (_CONTACTS, _RELATIONS, _MEMBERS):
            connection.execute(statement, numbers)
        buy(connection, orders, 1095, "A", numbers)
    with engine.begin() as connection:
        for index in _indexes(tables):
            index.create(connection)
    with install.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
    return orders


def buy(
    connection: psycopg.Connection[Any], orders: int, days: int, prefix: str, numbers: Any
) -> None:
    """Orders of the last `days` days before and on numbers["day"], with their lines."""
    more = {**numbers, "purchases": orders, "days": days, "prefix": prefix}
    connection.execute(_PURCHASES, more)
    connection.execute(_LINES, more)


def pass_a_day(install: Any, *, contacts: int, guides: int, day: date) -> int:
    """A day of business: a thousandth of the contacts buys; returns the number of orders."""
    orders = max(contacts // 1000, 20)
    numbers = {"contacts": contacts, "day": day, "stores": max(guides // 5, 1)}
    with install.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        buy(connection, orders, 1, f"B{day:%m%d}x", numbers)
        # As the intake does in the same transaction.
        connection.execute(
            "INSERT INTO changed_contact (contact_id, marked_at) SELECT DISTINCT contact_id, now()"
            " FROM purchase WHERE purchased_on = %s ON CONFLICT DO NOTHING",
            [day],
        )
    return orders


def _indexes(tables: list[Table]) -> list[Any]:
    return [index for table in tables for index in table.indexes]
