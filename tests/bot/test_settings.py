"""The environment is checked once, at the start, with one clear line for what is wrong."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
CORP = {
    "WECOM_CORP_ID": "ww1234567890abcdef",
    "WECOM_AGENT_ID": "1000007",
    "WECOM_APP_SECRET": "app-secret-that-nobody-sees",
    "WECOM_CALLBACK_TOKEN": "callbackTokenNobodySees",
    "WECOM_CALLBACK_AES_KEY": "a1B2" * 10 + "c3D",
    "SECRET_KEY": "session-key-nobody-sees-or-guesses",
    "EVENTS_SECRET": "events-key-nobody-sees-or-ever-guesses",
}


def corp_with(**changes: str) -> dict[str, str]:
    return {**CORP, **changes}


def test_without_any_wecom_variable_it_is_the_sandbox(tmp_path: Path) -> None:
    settings = Settings.from_env({"VAR_DIR": str(tmp_path), "PORT": "9001"})
    assert settings.sandbox
    assert settings.wecom.api_base_url == "http://127.0.0.1:9001/sandbox/platform"
    assert settings.public_base_url == "http://127.0.0.1:9001"
    assert re.fullmatch(r"[A-Za-z0-9]{43}", settings.wecom.callback_aes_key)
    assert re.fullmatch(r"[A-Za-z0-9]{1,32}", settings.wecom.callback_token)
    assert settings.database_url is None
    assert settings.redis_url is None


def test_the_sandboxs_secrets_stay_the_same_and_are_private(tmp_path: Path) -> None:
    first = Settings.from_env({"VAR_DIR": str(tmp_path)})
    assert Settings.from_env({"VAR_DIR": str(tmp_path)}) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]


def test_processes_that_start_at_once_agree_on_the_secrets(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = pool.map(
            lambda _: Settings.from_env({"VAR_DIR": str(tmp_path)}).secret_key, range(32)
        )
    assert len(set(keys)) == 1


def test_two_sandboxes_have_different_secrets(tmp_path: Path) -> None:
    one = Settings.from_env({"VAR_DIR": str(tmp_path / "one")})
    two = Settings.from_env({"VAR_DIR": str(tmp_path / "two")})
    assert one.secret_key != two.secret_key
    assert one.wecom.callback_aes_key != two.wecom.callback_aes_key


def test_given_secrets_win_over_the_sandboxs_own(tmp_path: Path) -> None:
    given = {"VAR_DIR": str(tmp_path), "SECRET_KEY": "mine", "EVENTS_SECRET": "also mine"}
    settings = Settings.from_env(given)
    assert (settings.secret_key, settings.events_secret) == ("mine", "also mine")


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"SECRET_KEY": 1}'])
def test_broken_secrets_are_named_and_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(SettingsError, match=r"VAR_DIR .*secrets\.json"):
        Settings.from_env({"VAR_DIR": str(tmp_path)})
    assert (tmp_path / "secrets.json").read_text() == text


def test_a_whole_corp_is_read(tmp_path: Path) -> None:
    settings = Settings.from_env(corp_with(VAR_DIR=str(tmp_path)))
    assert not settings.sandbox
    assert settings.wecom.api_base_url == "https://qyapi.weixin.qq.com"
    assert settings.wecom.agent_id == 1000007
    assert settings.wecom.corp_id == CORP["WECOM_CORP_ID"]
    assert list(tmp_path.iterdir()) == []


def test_a_half_set_corp_names_everything_that_is_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"WECOM_CORP_ID": "ww1", "WECOM_AGENT_ID": " "})
    for name in CORP:
        assert (name in str(caught.value)) == (name != "WECOM_CORP_ID")


def test_the_platforms_address_alone_is_a_half_set_corp() -> None:
    with pytest.raises(SettingsError, match="WECOM_CORP_ID"):
        Settings.from_env({"WECOM_API_BASE_URL": "http://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("WECOM_CORPID", "WECOM_CORP_ID"),
        ("WECOM_SECRET", "WECOM_APP_SECRET"),
        ("WECOM_CALLBACK_AESKEY", "WECOM_CALLBACK_AES_KEY"),
        ("WECOM_AGENTID", "WECOM_AGENT_ID"),
    ],
)
def test_an_unknown_wecom_variable_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(SettingsError, match=f"^{wrong} .*{right}"):
        Settings.from_env(corp_with(**{wrong: "x"}))
    with pytest.raises(SettingsError, match=f"^{wrong} .*{right}"):
        Settings.from_env({wrong: ""})


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("WECOM_CORP_ID", "1234567890abcdef", "ww (or wx)"),
        ("WECOM_CORP_ID", "ww", "ww (or wx)"),
        ("WECOM_CORP_ID", "wx12 34", "ww (or wx)"),
        ("WECOM_CORP_ID", "ww" + "1" * 63, "ww (or wx)"),
        ("SECRET_KEY", "k" * 31, "32 random characters, 31 were given"),
        ("EVENTS_SECRET", "short", "32 random characters, 5 were given"),
        ("WECOM_AGENT_ID", "ww1", "integer"),
        ("WECOM_AGENT_ID", "-1", "integer"),
        ("WECOM_AGENT_ID", "١٢", "integer"),
        ("WECOM_CALLBACK_TOKEN", "x" * 33, "32 letters and digits"),
        ("WECOM_CALLBACK_TOKEN", "a-b", "32 letters and digits"),
        ("WECOM_CALLBACK_AES_KEY", "x" * 42, "43 letters and digits"),
        ("WECOM_CALLBACK_AES_KEY", "x" * 44, "43 letters and digits"),
        ("WECOM_CALLBACK_AES_KEY", "x" * 42 + "=", "43 letters and digits"),
        ("WECOM_API_BASE_URL", "qyapi.weixin.qq.com", "address"),
        ("PORT", "0", "1 to 65535"),
        ("PORT", "65536", "1 to 65535"),
        ("PORT", "web", "1 to 65535"),
        ("PUBLIC_BASE_URL", "daogou.example.com", "address"),
        ("PUBLIC_BASE_URL", "https://x/?a=1", "address"),
        ("PUBLIC_BASE_URL", "https://x:99999", "address"),
        ("DATABASE_URL", "mysql://h/d", "postgresql://"),
        ("DATABASE_URL", "postgresql://u:p@h:port/d", "1 to 65535"),
        ("DATABASE_URL", "postgresql://u:p@h:65536/d", "1 to 65535"),
        ("DATABASE_URL", "postgresql://u:p@h:0", "1 to 65535"),
        ("DATABASE_URL", "postgresql://u:p@[::1]:x/d", "1 to 65535"),
        ("REDIS_URL", "redis://h:99999/0", "1 to 65535"),
        ("REDIS_URL", "rediss://:p@h:six", "1 to 65535"),
        ("REDIS_URL", "127.0.0.1:6379", "redis://"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(name: str, value: str, what: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be .*{re.escape(what)}"):
        Settings.from_env(corp_with(**{name: value}))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_common_spelling_of_the_database_scheme_is_taken(scheme: str) -> None:
    settings = Settings.from_env(corp_with(DATABASE_URL=f"{scheme}://u:p@h:5432/d"))
    assert settings.database_url == "postgresql://u:p@h:5432/d"


@pytest.mark.parametrize(
    "rest",
    ["u:p#/?:7@h:5432/d", "h/d", "/d?host=/var/run:x", "u@[::1]:5432/d", "[::1]/d", "h:1?a=b:c@d"],
)
def test_a_good_database_address_is_taken_as_it_is(rest: str) -> None:
    settings = Settings.from_env(corp_with(DATABASE_URL=f"postgresql://{rest}"))
    assert settings.database_url == f"postgresql://{rest}"


def test_a_wrong_port_is_named_without_the_password() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(corp_with(DATABASE_URL="postgresql://u:dbpass@h:port/d"))
    assert "dbpass" not in str(caught.value)


def test_no_secret_is_printed() -> None:
    settings = Settings.from_env(
        corp_with(DATABASE_URL="postgresql://u:dbpass@h/d", REDIS_URL="redis://:redispass@h")
    )
    for secret in (
        *(CORP[n] for n in CORP if n not in ("WECOM_CORP_ID", "WECOM_AGENT_ID")),
        "dbpass",
        "redispass",
    ):
        assert secret not in repr(settings)


SMS = {
    "SMS_GATEWAY_URL": "https://sms.example.com/v1/",
    "SMS_ACCOUNT": "xinghe",
    "SMS_SECRET": "CANARY-0123456789",
}
ACCOUNT = {"OFFICIAL_ACCOUNT_APP_ID": "wx0123", "OFFICIAL_ACCOUNT_SECRET": "CANARY-mp"}


def test_a_corp_without_other_channels_has_none() -> None:
    settings = Settings.from_env(CORP)
    assert (settings.sms, settings.official_account) == (None, None)


def test_the_channels_beside_wecom_are_read_and_no_secret_of_them_is_printed() -> None:
    settings = Settings.from_env(corp_with(**SMS, **ACCOUNT))
    assert settings.sms is not None
    assert settings.official_account is not None
    assert settings.sms.gateway_url == "https://sms.example.com/v1"
    assert settings.official_account.api_base_url == "https://api.weixin.qq.com"
    assert "CANARY" not in repr(settings)


@pytest.mark.parametrize("name", [*SMS, *ACCOUNT])
def test_a_half_set_channel_names_what_is_missing(name: str) -> None:
    given = {key: value for key, value in {**SMS, **ACCOUNT}.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name} must be set too"):
        Settings.from_env(corp_with(**given))


def test_the_address_of_the_official_platform_alone_is_a_half_set_channel() -> None:
    with pytest.raises(SettingsError, match="OFFICIAL_ACCOUNT_APP_ID"):
        Settings.from_env(corp_with(OFFICIAL_ACCOUNT_API_BASE_URL="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("SMS_GATEWAY_URL", "sms.example.com", "address"),
        ("SMS_SECRET", "short", "16 characters, 5 were given"),
        ("OFFICIAL_ACCOUNT_APP_ID", "ww01", "wx"),
        ("OFFICIAL_ACCOUNT_API_BASE_URL", "ftp://x", "address"),
    ],
)
def test_a_wrong_value_of_a_channel_is_named(name: str, value: str, what: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be .*{re.escape(what)}"):
        Settings.from_env(corp_with(**{**SMS, **ACCOUNT, name: value}))


def test_the_sandbox_writes_to_nobody_outside(tmp_path: Path) -> None:
    settings = Settings.from_env({"VAR_DIR": str(tmp_path), "PORT": "8123"})
    assert settings.sms is not None
    assert settings.official_account is not None
    assert settings.sms.gateway_url == "http://127.0.0.1:8123/sandbox/sms"
    assert settings.official_account.api_base_url == "http://127.0.0.1:8123/sandbox/mp"
    with pytest.raises(SettingsError, match="real people"):
        Settings.from_env({"VAR_DIR": str(tmp_path), **SMS})


def test_a_var_dir_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"^VAR_DIR must be a directory"):
        Settings.from_env({"VAR_DIR": str(tmp_path / "file" / "var")})


def test_settings_do_not_change() -> None:
    settings = Settings.from_env(CORP)
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


def test_the_example_file_lists_every_setting_and_sets_none() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for setting in SETTINGS:
        assert f"# {setting.help}\n# Default: {setting.default}\n#{setting.name}=\n" in text
    names = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)
    assert names == [setting.name for setting in SETTINGS]
    assert all(line.startswith("#") or not line for line in text.splitlines())


def test_the_secrets_file_is_plain_json(tmp_path: Path) -> None:
    Settings.from_env({"VAR_DIR": str(tmp_path)})
    kept = json.loads((tmp_path / "secrets.json").read_text())
    assert set(kept) == set(CORP)
