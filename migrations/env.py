"""Alembic's entrance: all tables of all floors, and the database it is told (or DATABASE_URL's)."""

from __future__ import annotations

from alembic import context

from bot import inbox, limiter, outbox, runs
from bot.crm import changes, models, sign_ins, sync
from bot.db import Base, create_database_engine
from bot.embedded import Servers
from bot.settings import Settings
from bot.wecom import tokens
from content_library import models as content_models
from sop import models as sop_models
from tagging import models as tag_models
from tagging import rfm

# Importing them is what declares their tables.
DECLARING = (
    inbox, limiter, outbox, runs, changes, models, sign_ins, sync, tokens,
    content_models, sop_models, tag_models, rfm,
)  # fmt: skip

# Two processes that start at once migrate one after the other.
_LOCK = 7_226_002


def run() -> None:
    """Migrate the database named by the caller, by DATABASE_URL, or the embedded one."""
    url = context.config.attributes.get("database_url") or Settings.from_env().database_url
    if url is None:
        with Servers.attach_or_start(Settings.from_env()) as servers:
            _migrate(servers.database_url)
    else:
        _migrate(url)


def _migrate(url: str) -> None:
    engine = create_database_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
        connection.commit()
    engine.dispose()


run()
