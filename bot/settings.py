"""What the environment says (环境变量): the only module that reads `os.environ`.

Names, defaults and rules are the program's contract with whoever installs it; `SETTINGS` is the
table that `.env.example` and the README are tested against.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import json
import os
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot import addresses
from bot.errors import SettingsError

WECOM_API_BASE_URL = "https://qyapi.weixin.qq.com"
OFFICIAL_ACCOUNT_API_BASE_URL = "https://api.weixin.qq.com"


@dataclass(frozen=True)
class Setting:
    """One variable: its name, what holds when it is unset, and what it is for."""

    name: str
    default: str
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "DATABASE_URL",
        "unset: an embedded PostgreSQL under VAR_DIR",
        "postgresql://user:password@host:5432/name of an outside PostgreSQL (14 or newer)",
    ),
    Setting(
        "REDIS_URL",
        "unset: an embedded Redis under VAR_DIR",
        "redis://host:6379/0 of an outside Redis (6.2 or newer)",
    ),
    Setting("VAR_DIR", "./var", "data, uploads, sockets and logs of the embedded services"),
    Setting("PORT", "8000", "web port, 1 to 65535"),
    Setting(
        "PUBLIC_BASE_URL",
        "http://127.0.0.1:$PORT",
        "base of links in cards and of OAuth redirects; the https address guides reach",
    ),
    Setting(
        "SECRET_KEY",
        "generated into VAR_DIR in the sandbox; required otherwise",
        "key of sessions and signatures; 32 or more random characters, the same for every process",
    ),
    Setting("WECOM_API_BASE_URL", WECOM_API_BASE_URL, "the platform"),
    Setting("WECOM_CORP_ID", "unset: sandbox mode", "corp id, starts with ww (or wx)"),
    Setting(
        "WECOM_AGENT_ID",
        "unset: sandbox mode",
        "agent id of the self-built app, an integer",
    ),
    Setting("WECOM_APP_SECRET", "unset: sandbox mode", "secret of the self-built app"),
    Setting(
        "WECOM_CALLBACK_TOKEN",
        "unset: sandbox mode",
        "Token of the callback settings, at most 32 letters and digits",
    ),
    Setting(
        "WECOM_CALLBACK_AES_KEY",
        "unset: sandbox mode",
        "EncodingAESKey of the callback settings, 43 letters and digits",
    ),
    Setting(
        "EVENTS_SECRET",
        "generated into VAR_DIR in the sandbox; required otherwise",
        "HMAC key with which POS, ERP and mall sign /api/v1/events; 32 or more random characters",
    ),
    Setting(
        "SMS_GATEWAY_URL",
        "unset: no SMS is sent",
        "address of the SMS gateway; it is asked at /messages below it",
    ),
    Setting("SMS_ACCOUNT", "unset: no SMS is sent", "account at the SMS gateway"),
    Setting(
        "SMS_SECRET",
        "unset: no SMS is sent",
        "HMAC key with which every request to the SMS gateway is signed",
    ),
    Setting(
        "OFFICIAL_ACCOUNT_APP_ID",
        "unset: no template message is sent",
        "app id of the brand's official account (公众号), starts with wx",
    ),
    Setting(
        "OFFICIAL_ACCOUNT_SECRET",
        "unset: no template message is sent",
        "app secret of the official account",
    ),
    Setting(
        "OFFICIAL_ACCOUNT_API_BASE_URL",
        OFFICIAL_ACCOUNT_API_BASE_URL,
        "the platform of official accounts",
    ),
)

_CORP_NAMES = (
    "WECOM_CORP_ID",
    "WECOM_AGENT_ID",
    "WECOM_APP_SECRET",
    "WECOM_CALLBACK_TOKEN",
    "WECOM_CALLBACK_AES_KEY",
)
_WECOM_NAMES = (*_CORP_NAMES, "WECOM_API_BASE_URL")
_SMS_NAMES = ("SMS_GATEWAY_URL", "SMS_ACCOUNT", "SMS_SECRET")
_OFFICIAL_ACCOUNT_NAMES = ("OFFICIAL_ACCOUNT_APP_ID", "OFFICIAL_ACCOUNT_SECRET")
_CARRIER_NAMES = (*_SMS_NAMES, *_OFFICIAL_ACCOUNT_NAMES, "OFFICIAL_ACCOUNT_API_BASE_URL")
# Who can guess one of them can sign in as anybody, or post purchases.
_KEY_NAMES = ("SECRET_KEY", "EVENTS_SECRET")
_SHORTEST_KEY = 32
_SHORTEST_CARRIER_KEY = 16


@dataclass(frozen=True)
class WeComSettings:
    """One corp and one self-built app, as the platform's console shows them."""

    api_base_url: str
    corp_id: str
    agent_id: int
    app_secret: str = field(repr=False)
    callback_token: str = field(repr=False)
    callback_aes_key: str = field(repr=False)


@dataclass(frozen=True)
class SmsSettings:
    """One account at an SMS gateway (短信网关)."""

    gateway_url: str
    account: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class OfficialAccountSettings:
    """One official account (公众号), for its template messages."""

    api_base_url: str
    app_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """Everything the environment decides; checked once, then never changed."""

    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    var_dir: Path
    port: int
    public_base_url: str
    secret_key: str = field(repr=False)
    wecom: WeComSettings
    events_secret: str = field(repr=False)
    sandbox: bool
    #: None: the brand has no such channel, and what was meant for it ends with that reason.
    sms: SmsSettings | None = None
    official_account: OfficialAccountSettings | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check the environment; a blank value counts as unset.

        In sandbox mode (no `WECOM_*` at all) what is secret is generated once into
        `VAR_DIR/secrets.json`. Raises `SettingsError`, which names the variable.
        """
        source = os.environ if environ is None else environ
        given = {name: value.strip() for name, value in source.items()}
        _refuse_unknown_wecom_names(given)
        values = {name: value for name, value in given.items() if value}
        port = addresses.port(values.get("PORT", "8000"))
        var_dir = Path(values.get("VAR_DIR", "./var")).expanduser().absolute()
        sandbox = not any(name in values for name in _WECOM_NAMES)
        if sandbox:
            values = {**_sandbox_secrets(var_dir), **values}
            values["WECOM_API_BASE_URL"] = f"http://127.0.0.1:{port}/sandbox/platform"
            _refuse_real_carriers(values)
            carriers = pretend_carriers(f"http://127.0.0.1:{port}/sandbox", values["SECRET_KEY"])
        else:
            _require_all(values)
            carriers = _sms(values), _official_account(values)
        return cls(
            database_url=addresses.database_url(values.get("DATABASE_URL")),
            redis_url=addresses.redis_url(values.get("REDIS_URL")),
            var_dir=var_dir,
            port=port,
            public_base_url=addresses.http_url(
                "PUBLIC_BASE_URL",
                values.get("PUBLIC_BASE_URL", f"http://127.0.0.1:{port}"),
            ),
            secret_key=values["SECRET_KEY"],
            wecom=_wecom(values),
            events_secret=values["EVENTS_SECRET"],
            sandbox=sandbox,
            sms=carriers[0],
            official_account=carriers[1],
        )


def pretend_carriers(
    sandbox_url: str, secret_key: str
) -> tuple[SmsSettings | None, OfficialAccountSettings | None]:
    """The SMS gateway and the official account inside the sandbox at `sandbox_url`."""
    secret = hmac.new(secret_key.encode(), b"sandbox carriers", hashlib.sha256).hexdigest()
    return (
        SmsSettings(f"{sandbox_url}/sms", "sandbox", secret),
        OfficialAccountSettings(f"{sandbox_url}/mp", f"wx{secret[:16]}", secret),
    )


def environment_for_children(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra` on top, for a child process."""
    return {**os.environ, **extra}


def _refuse_unknown_wecom_names(given: Mapping[str, str]) -> None:
    for name in sorted(given):
        if name.startswith("WECOM_") and name not in _WECOM_NAMES:
            near = difflib.get_close_matches(name, _WECOM_NAMES, n=1, cutoff=0.0)
            raise SettingsError(f"{name} is not a setting; did you mean {near[0]}?")


def _require_all(values: Mapping[str, str]) -> None:
    missing = [n for n in (*_CORP_NAMES, *_KEY_NAMES) if n not in values]
    if missing:
        raise SettingsError(
            f"a WeCom corp is only half set: {', '.join(missing)} must be set too"
            " (or unset every WECOM_* for the sandbox)"
        )
    for name in _KEY_NAMES:
        if len(values[name]) < _SHORTEST_KEY:
            raise SettingsError(
                f"{name} must be at least {_SHORTEST_KEY} random characters,"
                f" {len(values[name])} were given"
            )


def _wecom(values: Mapping[str, str]) -> WeComSettings:
    corp_id = values["WECOM_CORP_ID"]
    if not re.fullmatch(r"w[wx][A-Za-z0-9]{1,62}", corp_id):
        raise SettingsError("WECOM_CORP_ID must be ww (or wx) with letters and digits behind it")
    agent_id = values["WECOM_AGENT_ID"]
    if not re.fullmatch(r"[0-9]{1,10}", agent_id):
        raise SettingsError("WECOM_AGENT_ID must be an integer such as 1000002")
    token = values["WECOM_CALLBACK_TOKEN"]
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", token):
        raise SettingsError("WECOM_CALLBACK_TOKEN must be at most 32 letters and digits")
    aes_key = values["WECOM_CALLBACK_AES_KEY"]
    if not re.fullmatch(r"[A-Za-z0-9]{43}", aes_key):
        raise SettingsError(
            f"WECOM_CALLBACK_AES_KEY must be 43 letters and digits, {len(aes_key)} were given"
        )
    return WeComSettings(
        api_base_url=addresses.http_url(
            "WECOM_API_BASE_URL", values.get("WECOM_API_BASE_URL", WECOM_API_BASE_URL)
        ),
        corp_id=corp_id,
        agent_id=int(agent_id),
        app_secret=values["WECOM_APP_SECRET"],
        callback_token=token,
        callback_aes_key=aes_key,
    )


def _refuse_real_carriers(values: Mapping[str, str]) -> None:
    given = [name for name in _CARRIER_NAMES if name in values]
    if given:
        raise SettingsError(
            f"{', '.join(given)} would write to real people from the sandbox:"
            " set the WECOM_* of a corp first, or unset it"
        )


def _sms(values: Mapping[str, str]) -> SmsSettings | None:
    if not _all_or_none(values, _SMS_NAMES, _SMS_NAMES):
        return None
    if len(values["SMS_SECRET"]) < _SHORTEST_CARRIER_KEY:
        raise SettingsError(
            f"SMS_SECRET must be at least {_SHORTEST_CARRIER_KEY} characters,"
            f" {len(values['SMS_SECRET'])} were given"
        )
    return SmsSettings(
        addresses.http_url("SMS_GATEWAY_URL", values["SMS_GATEWAY_URL"]),
        values["SMS_ACCOUNT"],
        values["SMS_SECRET"],
    )


def _official_account(values: Mapping[str, str]) -> OfficialAccountSettings | None:
    optional = (*_OFFICIAL_ACCOUNT_NAMES, "OFFICIAL_ACCOUNT_API_BASE_URL")
    if not _all_or_none(values, optional, _OFFICIAL_ACCOUNT_NAMES):
        return None
    app_id = values["OFFICIAL_ACCOUNT_APP_ID"]
    if not re.fullmatch(r"wx[A-Za-z0-9]{1,62}", app_id):
        raise SettingsError("OFFICIAL_ACCOUNT_APP_ID must be wx with letters and digits behind it")
    return OfficialAccountSettings(
        addresses.http_url(
            "OFFICIAL_ACCOUNT_API_BASE_URL",
            values.get("OFFICIAL_ACCOUNT_API_BASE_URL", OFFICIAL_ACCOUNT_API_BASE_URL),
        ),
        app_id,
        values["OFFICIAL_ACCOUNT_SECRET"],
    )


def _all_or_none(values: Mapping[str, str], names: Sequence[str], required: Sequence[str]) -> bool:
    """Whether a channel is set; half of it is an error."""
    given = [name for name in names if name in values]
    missing = [name for name in required if name not in values]
    if given and missing:
        raise SettingsError(
            f"{given[0]} is set, so {', '.join(missing)} must be set too"
            f" (or unset {', '.join(given)})"
        )
    return bool(given)


def _sandbox_secrets(var_dir: Path) -> dict[str, str]:
    """The pretend corp's keys, made at the first start and the same ever after."""
    path = var_dir / "secrets.json"
    try:
        var_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _keep_secrets(path)
        kept = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"VAR_DIR must be a directory this user can write to: {path.parent}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"VAR_DIR holds an unreadable {path.name}: remove {path}") from error
    fresh = _fresh_secrets()
    if not isinstance(kept, dict) or not all(isinstance(kept.get(n), str) for n in fresh):
        raise SettingsError(f"VAR_DIR holds an incomplete {path.name}: remove {path}")
    return {name: kept[name] for name in fresh}


def _keep_secrets(path: Path) -> None:
    # Several processes may start at once: the one whose link succeeds decides for all of them.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(_fresh_secrets(), indent=2) + "\n", encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _fresh_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "EVENTS_SECRET": secrets.token_urlsafe(32),
        "WECOM_CORP_ID": f"ww{secrets.token_hex(8)}",
        "WECOM_AGENT_ID": "1000002",
        "WECOM_APP_SECRET": secrets.token_urlsafe(32),
        "WECOM_CALLBACK_TOKEN": _letters_and_digits(32),
        "WECOM_CALLBACK_AES_KEY": _letters_and_digits(43),
    }


def _letters_and_digits(count: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(count))
