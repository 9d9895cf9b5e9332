"""Database fixtures for the ground floor's tests."""

from __future__ import annotations

from tests.fixtures_db import engine, session, sessions

__all__ = ["engine", "session", "sessions"]
