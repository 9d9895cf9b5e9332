"""Sign-ins end when they should, and a copy of the table opens nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from bot.crm import operators, sign_ins
from bot.crm.models import OperatorRole
from bot.crm.sign_ins import SignInKind, SignInState, WebSession
from tests.factories import NOON, Make

MINUTE = timedelta(minutes=1)


@pytest.fixture
def operator(session):
    return operators.save(
        session, "chen", name="陈静", role=OperatorRole.ADMIN, password="a long password"
    )


def test_a_token_is_read_back_as_the_person_who_signed_in(session, operator):
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    found = sign_ins.read(session, token, NOON)
    assert (found.kind, found.subject_id) == (SignInKind.OPERATOR, operator.id)
    assert found.csrf == sign_ins.csrf_of(token)


def test_the_table_holds_no_token(session, operator):
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    row = session.scalars(select(WebSession)).one()
    assert token not in repr(vars(row))
    assert sign_ins.read(session, row.token_hash, NOON) is None


@pytest.mark.parametrize("token", [None, "", "nonsense", "\x00", "\ud800"])
def test_a_token_nobody_was_given_is_nobody(session, operator, token):
    sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    assert sign_ins.read(session, token, NOON) is None


def test_two_hours_without_a_click_end_it(session, operator):
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    assert sign_ins.read(session, token, NOON + timedelta(hours=2) - MINUTE) is not None
    assert sign_ins.read(session, token, NOON + timedelta(hours=4)) is None


def test_twelve_hours_end_it_however_busy(session, operator):
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    for hour in range(1, 12):
        assert sign_ins.read(session, token, NOON + timedelta(hours=hour)) is not None
    assert sign_ins.read(session, token, NOON + timedelta(hours=12)) is None


def test_an_operator_who_is_switched_off_is_out_at_once(session, operator):
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    operator.is_active = False
    session.flush()
    assert sign_ins.read(session, token, NOON) is None


def test_a_guide_who_left_is_out_at_once(session):
    guide = Make(session).guide()
    token = sign_ins.open(session, SignInKind.GUIDE, guide.id, NOON)
    assert sign_ins.read(session, token, NOON).kind == SignInKind.GUIDE
    guide.is_active = False
    session.flush()
    assert sign_ins.read(session, token, NOON) is None


def test_closing_ends_one_and_closing_all_ends_every_one(session, operator):
    tokens = [sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON) for _ in range(3)]
    sign_ins.close(session, tokens[0])
    assert [sign_ins.read(session, t, NOON) is not None for t in tokens] == [False, True, True]
    sign_ins.close_all(session, SignInKind.OPERATOR, operator.id)
    assert not any(sign_ins.read(session, t, NOON) for t in tokens)


def test_old_sign_ins_are_swept_when_somebody_comes(session, operator):
    sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON)
    sign_ins.open(session, SignInKind.OPERATOR, operator.id, NOON + timedelta(days=1))
    assert session.scalar(select(func.count()).select_from(WebSession)) == 1


def test_a_state_works_once_in_the_browser_that_set_out(session):
    gone = sign_ins.depart(session, "/console/sops/", NOON)
    assert gone.state.isalnum()
    assert sign_ins.arrive(session, gone.state, "another cookie", NOON) is None
    assert sign_ins.arrive(session, gone.state, None, NOON) is None
    assert sign_ins.arrive(session, gone.state, gone.cookie, NOON + MINUTE) == "/console/sops/"
    assert sign_ins.arrive(session, gone.state, gone.cookie, NOON + MINUTE) is None


def test_a_state_is_dead_after_five_minutes_and_swept(session):
    gone = sign_ins.depart(session, "/console/", NOON)
    assert sign_ins.arrive(session, gone.state, gone.cookie, NOON + 5 * MINUTE) is None
    sign_ins.depart(session, "/console/", NOON + 6 * MINUTE)
    assert session.scalar(select(func.count()).select_from(SignInState)) == 1
