"""One real browser for all page tests of a test process; Playwright allows no second beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing a browser does by itself may reach for the network.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, else the one Playwright installed; each test takes its own context."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield running
        running.close()
