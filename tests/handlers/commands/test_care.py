"""Accounts, dead letters and a database that is not as it should be."""

from __future__ import annotations

import io
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.crm.models import Operator
from bot.embedded import Servers
from bot.outbox import CallState, Outbox
from tests.handlers.commands.conftest import Run, runner


@pytest.fixture
def empty_database(
    environment: None,
    servers: Servers,
    _admin: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """A database nobody has migrated."""
    _admin.execute("create database unmigrated")
    url = servers.database_url.replace("/daogou?", "/unmigrated?")
    monkeypatch.setenv("DATABASE_URL", url)
    yield
    _admin.execute("drop database unmigrated with (force)")


def test_a_database_nobody_migrated_is_one_line_that_says_what_to_do(
    empty_database: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    daogou = runner(capsys)
    for argv in (
        ("dump",),
        ("tasks", "--guide", "a"),
        ("explain", "M1"),
        ("preview", "新客"),
        ("deadletters", "list"),
        ("nightly",),
    ):
        daogou(*argv).refused("数据库还没有升级，请先运行 daogou migrate")
    monkeypatch.setattr("sys.stdin", io.StringIO("long enough password\n"))
    daogou("operator", "add", "x", "--password-stdin").refused("daogou migrate")


def test_a_database_that_does_not_answer_never_shows_its_password(
    environment: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://daogou:hunter2@127.0.0.1:1/daogou")
    line = runner(capsys)("dump").refused("数据库没有回应")
    assert "hunter2" not in line
    assert "127.0.0.1" not in line


def test_the_last_word_about_the_database_shows_neither_values_nor_addresses(
    daogou: Run, session: Session
) -> None:
    session.execute(text("ALTER TABLE guide ADD CHECK (name <> '王芳')"))
    session.commit()
    file = "brand: 星河\nguides: [{userid: wangfang, name: 王芳}]\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(file))
        line = daogou("load", "-").refused("数据库没有接受这次操作（CheckViolation）")
    assert "王芳" not in line
    assert daogou("dump").out == "{}\n"


def test_an_account_is_made_from_standard_input_or_refused_in_one_line(
    daogou: Run, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    daogou("operator", "add", "admin").refused("--password-stdin")
    for password, said in {"short": "密码应为 10 到 200 位", "": "密码应为"}.items():
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        daogou("operator", "add", "admin", "--password-stdin").refused(said)
    assert session.scalars(select(Operator)).all() == []
    for name in ("admin", "other"):
        monkeypatch.setattr("sys.stdin", io.StringIO("long enough password\r\n"))
        add = ("operator", "add", name, "--password-stdin", "--userid", "zhangsan")
        if name == "admin":
            assert daogou(*add).status == 0
        else:
            daogou(*add).refused("「zhangsan」已经属于另一个账号")
    assert session.scalars(select(Operator.username)).all() == ["admin"]


def _dead(session: Session, number: int) -> int:
    row = Outbox(
        kind="contact_way",
        api="contact_way",
        lane="send",
        body=b"{}",
        subject={},
        dedupe_key=f"dead:{number}",
        state=CallState.DEAD,
        last_error="40001",
    )
    session.add(row)
    session.commit()
    return row.id


def test_named_dead_letters_are_retried_all_or_none(daogou: Run, session: Session) -> None:
    first, second = _dead(session, 1), _dead(session, 2)
    listed = daogou("deadletters", "list")
    assert (listed.status, f"out:{first}  contact_way" in listed.out) == (0, True)
    for wrong, said in {
        "12": "编号应写成",
        "out:x": "编号应写成",
        "out:²": "编号应写成",
        f"out:{10**30}": "编号应写成",
        f"in:{first}": f"没有 in:{first}",
        "out:999999999999999999": "没有 out:",
    }.items():
        daogou("deadletters", "retry", f"out:{first}", wrong).refused(said)
    daogou("deadletters", "retry").refused("请写出编号")
    session.expire_all()
    assert {row.state for row in session.scalars(select(Outbox))} == {CallState.DEAD}
    ended = daogou("deadletters", "retry", f"out:{first}", f"out:{first}")
    assert (ended.status, ended.out) == (0, "已重新排队 1 条。\n")
    ended = daogou("deadletters", "retry", "--reason", "40001")
    assert (ended.status, ended.out) == (0, "已重新排队 1 条。\n")
    daogou("deadletters", "retry", f"out:{second}").refused("没有 out:")
