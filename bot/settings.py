"""What the environment says (环境变量): the only module that reads `os.environ`.

Names, defaults and rules are the program's contract with whoever installs it; `SETTINGS` is the
table that `.env.example` and the README are tested against.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import SettingsError

WECOM_API_BASE_URL = "https://qyapi.weixin.qq.com"


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
)

_CORP_NAMES = (
    "WECOM_CORP_ID",
    "WECOM_AGENT_ID",
    "WECOM_APP_SECRET",
    "WECOM_CALLBACK_TOKEN",
    "WECOM_CALLBACK_AES_KEY",
)
_WECOM_NAMES = (*_CORP_NAMES, "WECOM_API_BASE_URL")
# Who can guess one of them can sign in as anybody, or post purchases.
_KEY_NAMES = ("SECRET_KEY", "EVENTS_SECRET")
_SHORTEST_KEY = 32
# user:password@ (a password may hold anything but an @), then the host and its port.
_AUTHORITY = re.compile(
    r"(?:[^@/?]*(?::[^@]*)?@)?(?:\[[^\]]*\]|[^:/?\[\]]*)(?::(?P<port>[^/?]*))?(?:[/?].*)?"
)


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
        port = _port(values.get("PORT", "8000"))
        var_dir = Path(values.get("VAR_DIR", "./var")).expanduser().absolute()
        sandbox = not any(name in values for name in _WECOM_NAMES)
        if sandbox:
            values = {**_sandbox_secrets(var_dir), **values}
            values["WECOM_API_BASE_URL"] = f"http://127.0.0.1:{port}/sandbox/platform"
        else:
            _require_all(values)
        return cls(
            database_url=_database_url(values.get("DATABASE_URL")),
            redis_url=_redis_url(values.get("REDIS_URL")),
            var_dir=var_dir,
            port=port,
            public_base_url=_http_url(
                "PUBLIC_BASE_URL",
                values.get("PUBLIC_BASE_URL", f"http://127.0.0.1:{port}"),
            ),
            secret_key=values["SECRET_KEY"],
            wecom=_wecom(values),
            events_secret=values["EVENTS_SECRET"],
            sandbox=sandbox,
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
        api_base_url=_http_url(
            "WECOM_API_BASE_URL", values.get("WECOM_API_BASE_URL", WECOM_API_BASE_URL)
        ),
        corp_id=corp_id,
        agent_id=int(agent_id),
        app_secret=values["WECOM_APP_SECRET"],
        callback_token=token,
        callback_aes_key=aes_key,
    )


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise SettingsError("PORT must be a number from 1 to 65535")
    return int(text)


def _http_url(name: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
        wrong = wrong or bool(parts.query or parts.fragment) or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsError(f"{name} must be an address such as https://daogou.example.com")
    return text.rstrip("/")


def _database_url(text: str | None) -> str | None:
    if text is None:
        return None
    match = re.match(r"(postgresql|postgres|postgresql\+psycopg)://(.+)", text)
    if match is None or not _has_good_port(match[2]):
        # The value is not shown, for it may hold a password.
        raise SettingsError(
            "DATABASE_URL must be postgresql://user:password@host:5432/name,"
            " with a port from 1 to 65535"
        )
    return f"postgresql://{match[2]}"


def _redis_url(text: str | None) -> str | None:
    match = re.match(r"(rediss?|unix)://(.+)", text or "")
    is_wrong = match is None or (match[1] != "unix" and not _has_good_port(match[2]))
    if text is not None and is_wrong:
        raise SettingsError(
            "REDIS_URL must be redis://host:6379/0 (or rediss://, unix://),"
            " with a port from 1 to 65535"
        )
    return text


def _has_good_port(rest: str) -> bool:
    found = _AUTHORITY.fullmatch(rest)
    if found is None:
        return False
    port = found["port"]
    return port is None or (
        re.fullmatch(r"[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535
    )


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
