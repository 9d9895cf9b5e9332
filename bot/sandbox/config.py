"""What a sandbox needs to know before it opens: identities, keys and addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bot.clock import Clock


@dataclass(frozen=True)
class SandboxConfig:
    """Settings of one pretend corp.

    `public_base_url` is the address under which the sandbox app itself is reached (with its
    mount path, e.g. `http://127.0.0.1:8000/sandbox`). `callback_url` empty: the app has no
    callback configured, so nothing is delivered and interactive cards are refused (43012).
    `accept_after` is how many seconds a guide's client takes to confirm a customer who came in
    without verification; None leaves it to a person. `trusted_domains` are extra `host:port`
    values that OAuth may redirect to, besides those of the two addresses above.
    """

    db_path: Path
    corp_id: str
    agent_id: int
    app_secret: str = field(repr=False)
    callback_token: str = field(repr=False)
    callback_aes_key: str = field(repr=False)
    callback_url: str
    events_url: str
    events_secret: str = field(repr=False)
    clock: Clock
    public_base_url: str
    app_name: str = "导购助手"
    corp_name: str = "星河珠宝"
    accept_after: float | None = None
    trusted_domains: tuple[str, ...] = ()
    on_night: Callable[[date], None] | None = None
    on_morning: Callable[[date], None] | None = None
    senders: int = 16
    #: How many answered calls and letters are remembered; a sandbox may run for months.
    kept_calls: int = 100_000
    kept_letters: int = 20_000
    #: The pretend SMS gateway and official account; with an empty secret they let nobody in.
    sms_account: str = "sandbox"
    sms_secret: str = field(default="", repr=False)
    #: Where the gateway reports and brings replies; empty: nowhere.
    sms_reports_url: str = ""
    official_account_app_id: str = ""
    official_account_secret: str = field(default="", repr=False)
