"""HQ accounts (总部账号): argon2 passwords, and a pause after too many wrong ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Operator, OperatorRole
from bot.errors import UserError

_SHORTEST = 10
_LONGEST = 200
#: Five wrong passwords within fifteen minutes close the account for the rest of them.
_MOST_FAILURES = 5
_WINDOW = timedelta(minutes=15)

_hasher = PasswordHasher()
# Compared for unknown names too, so that the time of an answer does not tell who exists. It costs
# as much as a real one and is nobody's; written, not computed, because hashing is slow on purpose
# and every process that starts would pay for it.
_COST = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
_NOBODY = f"$argon2id$v=19${_COST}${'A' * 22}${'A' * 43}"


def save(
    session: Session,
    username: str,
    *,
    name: str,
    role: OperatorRole,
    password: str,
    userid: str | None = None,
) -> Operator:
    """Make an account, or change the one of this name; raises UserError for a weak password."""
    username = username.strip()
    if not username or len(username) > 64:
        raise UserError("登录名应为 1 到 64 个字符", field="username")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UserError(f"密码应为 {_SHORTEST} 到 {_LONGEST} 位", field="password")
    operator = session.scalar(select(Operator).where(Operator.username == username))
    if operator is None:
        operator = Operator(username=username, name=name, role=role)
        session.add(operator)
    operator.name, operator.role, operator.is_active = name, role, True
    operator.password_hash = _hasher.hash(password)
    operator.failed_count = 0
    if userid:
        operator.userid = userid
    session.flush()
    return operator


def sign_in(session: Session, username: str, password: str, now: datetime) -> Operator:
    """The account whose password this is; raises UserError with one sentence for every failure."""
    operator = session.scalar(
        select(Operator).where(Operator.username == username.strip()).with_for_update()
    )
    if operator is not None and _is_closed(operator, now):
        raise UserError("密码错误次数过多，请 15 分钟后再试")
    fits = _fits(operator.password_hash if operator else None, password)
    if operator is None or not fits or not operator.is_active:
        raise WrongPassword(operator)
    operator.failed_count = 0
    operator.signed_in_at = now
    return operator


class WrongPassword(UserError):
    """A sign-in that failed; the door counts it in a transaction of its own."""

    def __init__(self, operator: Operator | None) -> None:
        super().__init__("账号或密码不对")
        self.operator_id = operator.id if operator else None


def count_failure(session: Session, operator_id: int, now: datetime) -> None:
    """Remember a wrong password; an old series is forgotten first."""
    operator = session.get_one(Operator, operator_id, with_for_update=True)
    if operator.failed_at is None or now - operator.failed_at > _WINDOW:
        operator.failed_count = 0
    operator.failed_count += 1
    operator.failed_at = now


def by_userid(session: Session, userid: str, now: datetime) -> Operator:
    """The account of somebody WeCom vouches for; raises UserError when there is none."""
    operator = session.scalar(select(Operator).where(Operator.userid == userid, Operator.is_active))
    if operator is None:
        raise UserError("这个企业微信账号还没有总部权限，请管理员先添加")
    operator.signed_in_at = now
    return operator


def _is_closed(operator: Operator, now: datetime) -> bool:
    return (
        operator.failed_count >= _MOST_FAILURES
        and operator.failed_at is not None
        and now - operator.failed_at < _WINDOW
    )


def _fits(stored: str | None, password: str) -> bool:
    try:
        _hasher.verify(stored or _NOBODY, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return stored is not None
