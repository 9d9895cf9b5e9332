"""A bot on a real database, whose platform no night has a reason to call."""

from __future__ import annotations

from tests.handlers.conftest import bot, platform, settings

__all__ = ["bot", "platform", "settings"]
