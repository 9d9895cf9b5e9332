"""Template messages on the wire: one token for all, renewed once, and no secret in any words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bot import errors
from bot.settings import OfficialAccountSettings
from bot.wecom.official_account import API, OfficialAccount, template_body
from bot.wecom.tokens import TokenStore
from tests.bot.wecom import scripted
from tests.bot.wecom.conftest import SECRET

BODY = template_body("o_1", "T1", {"thing1": "王女士"}, "https://example.com/a")


@pytest.fixture
def account(platform: scripted.Platform, tokens: TokenStore) -> Iterator[OfficialAccount]:
    account = OfficialAccount(OfficialAccountSettings(platform.url, "wx01", SECRET), tokens=tokens)
    yield account
    account.close()


@pytest.fixture
def answers(platform: scripted.Platform) -> list[dict[str, object]]:
    """What sending answers, one after the other; fetching a token always works."""
    waiting: list[dict[str, object]] = []

    def answer_for(asked: scripted.Asked):
        if asked.api == "token":
            platform.tokens += 1
            number = platform.tokens
            return lambda h: h.answer_json(access_token=f"CANARY-token-{number}", expires_in=7200)
        reply = waiting.pop(0) if waiting else {"errcode": 0, "msgid": 1}
        return lambda h: h.answer_json(**reply)

    platform.answer_for = answer_for  # type: ignore[method-assign]
    return waiting


def test_the_frozen_message_leaves_through_wechatpy_as_it_was_written(account, platform, answers):
    for _ in range(3):
        assert account.call(API, BODY)["msgid"] == 1
    fetched = platform.calls("token")
    assert [one.query["grant_type"] for one in fetched] == ["client_credential"]
    assert fetched[0].query["appid"] == "wx01"
    sent = platform.calls(API)
    assert [json.loads(one.body) for one in sent] == [json.loads(BODY)] * 3
    assert {one.query["access_token"] for one in sent} == {"CANARY-token-1"}


def test_a_dead_token_is_renewed_once_and_then_given_up(account, platform, answers):
    answers += [{"errcode": 40001}]
    assert account.call(API, BODY)["errcode"] == 0
    answers += [{"errcode": 42001}, {"errcode": 42001}]
    with pytest.raises(errors.TokenRejected):
        account.call(API, BODY)
    assert len(platform.calls(API)) == 4


@pytest.mark.parametrize(
    ("errcode", "raised"),
    [
        (-1, errors.WeComUnavailable),
        (45009, errors.RateLimited),
        (45011, errors.RateLimited),
        (40164, errors.NotConfigured),
        (48001, errors.NotConfigured),
        (43004, errors.UnknownPerson),
        (43019, errors.UnknownPerson),
        (40003, errors.UnknownPerson),
        (40037, errors.Refused),
        (99999, errors.Refused),
    ],
)
def test_every_number_says_what_can_be_done(account, answers, errcode, raised):
    answers += [{"errcode": errcode, "errmsg": f"{SECRET} CANARY-token-1 rid: 1"}]
    with pytest.raises(raised) as caught:
        account.call(API, BODY)
    assert type(caught.value) is raised
    assert caught.value.errcode == errcode
    assert "CANARY" not in str(caught.value)


def test_nothing_else_is_called_through_it(account):
    with pytest.raises(errors.Refused):
        account.call("user/info", BODY)
