"""The exception tree, named by what the caller can do about it."""

from __future__ import annotations


class DaogouError(Exception):
    """Root of every error this program raises on purpose."""


class UserError(DaogouError):
    """A person gave something that cannot be accepted.

    `message_zh` is one clear sentence for that person; nothing was changed. `field` names the
    input it belongs to, so that a form can show the sentence beside it.
    """

    def __init__(self, message_zh: str, *, field: str | None = None) -> None:
        super().__init__(message_zh)
        self.message_zh = message_zh
        self.field = field


class SettingsError(DaogouError):
    """The environment is wrong; the message names the variable and what it should be."""


class CallbackError(DaogouError):
    """A callback that is not authentic or not readable.

    `kind` is one of: `bad_signature`, `bad_body`, `too_large`, `unreadable`. Only `unreadable`
    (rightly signed, but not decryptable to a message) is worth keeping in quarantine.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason


class WeComError(DaogouError):
    """WeCom answered a call with an error. `errcode` is WeCom's number (None: no JSON answer)."""

    def __init__(self, api: str, errcode: int | None, reason: str) -> None:
        super().__init__(f"{api}: errcode={errcode} {reason}")
        self.api = api
        self.errcode = errcode
        self.reason = reason


class WeComUnavailable(WeComError):
    """Nothing is known about the effect: timeout, broken connection, no JSON, system busy (-1)."""


class RateLimited(WeComError):
    """The platform, or our own limiter, says wait. `retry_after` is in seconds."""

    def __init__(self, api: str, errcode: int | None, reason: str, *, retry_after: float) -> None:
        super().__init__(api, errcode, reason)
        self.retry_after = retry_after


class TokenRejected(WeComError):
    """The access token is refused even after one refresh."""


class NotConfigured(WeComError):
    """HQ or IT must change something in the WeCom console (secret, trusted IP, permission)."""


class FollowEnded(WeComError):
    """84061: the guide and this customer are not connected (any more)."""


class WelcomeExpired(WeComError):
    """41050: the welcome code is unknown or older than 20 seconds."""


class WelcomeTaken(WeComError):
    """41051: a welcome was already delivered for this code, or the chat has begun."""


class WelcomeBusy(WeComError):
    """41096: another sender is at work with the same code; trying again may help."""


class ConsentPending(WeComError):
    """41053: the customer must agree to archiving first; a later event brings a new code."""


class MediaExpired(WeComError):
    """40007: the media_id is unknown or older than three days; upload the file again."""


class UnknownPerson(WeComError):
    """The userid or external_userid does not exist or is not visible to the app."""


class Refused(WeComError):
    """The request itself is wrong and will be refused every time."""
