"""The gateway: every call to WeCom this program makes, by noun, on one path."""

from __future__ import annotations

from bot.wecom.contacts import ContactCalls
from bot.wecom.directory import DirectoryCalls
from bot.wecom.kf import KfCalls
from bot.wecom.mass import MassCalls
from bot.wecom.messaging import MessageCalls
from bot.wecom.moments import MomentCalls


class Gateway(ContactCalls, MessageCalls, MassCalls, MomentCalls, KfCalls, DirectoryCalls):
    """All calls; see `CallPath.call` for what each of them shares. Raises only WeComError."""
