"""How the sources look: small files, imports on top, words that are in the glossary."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bot.db import Base
from bot.settings import SETTINGS
from handlers.commands import COMMANDS
from tests.servers import ROOT
from tests.shape.test_tables import product_files

FILES = product_files()
_MOST_LINES = 400
_BANNED = {"utils", "helpers", "common", "services", "managers", "constants", "base"}
READMES = ("README.md", "README.zh-CN.md")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_over_four_hundred_lines() -> None:
    sizes = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: size for name, size in sizes.items() if size > _MOST_LINES} == {}


def test_no_file_bears_a_name_that_says_nothing() -> None:
    assert [_name(path) for path in FILES if path.stem in _BANNED] == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_file_says_its_job_and_imports_on_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "no docstring"
    inside = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_the_sources_leave_nothing_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [_name(path) for path in FILES if later.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_no_test_is_skipped() -> None:
    skipping = re.compile(r"pytest\.(mark\.)?(skip|xfail)|importorskip")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    found = [
        _name(path)
        for path in tests
        if path != Path(__file__) and skipping.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_glossary_names_every_table_of_the_book() -> None:
    """Links between two tables and book-keeping tables need no word of their own."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = {
        "Region", "Store", "Guide", "Operator", "Contact", "Member", "FollowRelation",
        "ChannelCode", "WelcomeMessage", "KeywordReply", "TalkingPoint", "Material",
        "TagGroup", "Tag", "TagAssignment", "TagRule", "ContactScore", "Sop", "SopVersion",
        "SopStep", "Enrollment", "Task", "Touch", "Digest", "Purchase", "Refund",
        "TimelineEntry", "KfAccount", "KfMessage", "Inbox", "Outbox", "JobRun",
        "PurchaseMove", "Cart", "CartChange", "PointsChange", "Coupon", "CouponTemplate",
        "CouponIssue", "Visit", "MaterialView", "ContactActivity", "MemberMerge", "OptOut",
        "Lead", "LeadSignal", "Appointment", "MassSend", "Posting", "ChannelTemplate",
        "FestivalDay", "FestivalRule", "CalendarDay", "GuideDayOff", "BrandPrice",
    }  # fmt: skip
    classes = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    assert words <= classes
    assert sorted(word for word in words if f"`{word}" not in glossary) == []


def _named(readme: str) -> tuple[set[str], set[str]]:
    """The commands and the settings that a README names."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    commands = set(re.findall(r"`(?:\.venv/bin/)?daogou ([a-z]+)", text))
    return commands, {one.name for one in SETTINGS if re.search(rf"\b{one.name}\b", text)}


def test_both_readmes_name_the_same_commands_and_what_must_be_set() -> None:
    english, chinese = (_named(readme) for readme in READMES)
    assert english == chinese
    assert english[0] <= set(COMMANDS)
    needed = {one.name for one in SETTINGS if "sandbox" in one.default}
    assert needed <= english[1]


def test_both_readmes_begin_with_the_one_command() -> None:
    for readme in READMES:
        assert "make run" in (ROOT / readme).read_text(encoding="utf-8")
