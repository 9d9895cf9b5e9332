"""The closed tables are closed: labelled, complete, and in step with the code that uses them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from bot import jobs
from bot.wecom import events as wecom_events
from content_library.placeholders import PLACEHOLDERS
from handlers import timetable
from handlers.commands import COMMANDS, processes, reference
from handlers.deliveries import DELIVERIES
from handlers.events import HANDLERS
from handlers.guide_commands.answers import _ANSWERS
from handlers.guide_commands.parsing import FORMS, Verb, parse
from handlers.lanes import LANES
from sop import sends
from sop.step_kinds import CARRIERS, GUIDE_KINDS, KINDS, MACHINE_KINDS
from sop.triggers import TRIGGERS
from tagging.conditions import FIELDS
from tests.servers import ROOT

CHINESE = re.compile(r"[\u4e00-\u9fff]")
PRODUCT = ("app.py", "bot", "content_library", "handlers", "sop", "tagging")


def product_files() -> list[Path]:
    """Every Python file of the product."""
    found = [ROOT / "app.py"]
    for folder in PRODUCT[1:]:
        found += sorted((ROOT / folder).rglob("*.py"))
    return found


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in product_files():
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _keywords(name: str, *, without: str = "sandbox") -> dict[str, set[str]]:
    """Every literal given as `name=` in a call of Draft(...) or outbox.add(...)."""
    found: dict[str, set[str]] = {}
    for path, tree in _trees():
        if without in path.parts:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and any(k.arg == "dedupe_key" for k in node.keywords):
                for keyword in node.keywords:
                    if keyword.arg == name and isinstance(keyword.value, ast.Constant):
                        found.setdefault(keyword.value.value, set()).add(str(path))
    return found


def test_every_kind_put_into_the_outbox_is_in_deliveries_and_the_other_way_round() -> None:
    # A machine's message takes its kind from its task, which is one of these or refused.
    used = set(_keywords("kind")) | set(sends.KINDS)
    for path, tree in _trees():
        # Where a kind is used several times it has a name at the top of its file.
        if "sandbox" not in path.parts and "dedupe_key" in path.read_text(encoding="utf-8"):
            used |= {
                node.value.value
                for node in tree.body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id in ("KIND", "CREATE", "UPDATE")
                and isinstance(node.value, ast.Constant)
            }
    # What machines send bears the kind of its step.
    used |= set(MACHINE_KINDS)
    assert used == set(DELIVERIES)


def test_every_kind_of_step_has_words_and_somebody_who_does_it() -> None:
    assert set(CARRIERS) | GUIDE_KINDS == set(KINDS)
    assert set(MACHINE_KINDS) <= set(DELIVERIES)
    assert {"mass_message", *GUIDE_KINDS} <= set(DELIVERIES)
    assert all(CHINESE.search(words) for words in KINDS.values())


def test_every_lane_used_is_one_that_is_worked() -> None:
    used = set(_keywords("lane"))
    assert used <= set(jobs.LANES)
    assert set(LANES) == set(jobs.LANES)


def test_every_lane_is_worked_by_some_process() -> None:
    """`daogou worker fast` works its lane, `daogou worker` the others; the Procfile has both."""
    procfile = (ROOT / "Procfile").read_text(encoding="utf-8")
    assert "fast: daogou worker fast\n" in procfile
    assert "worker: daogou worker\n" in procfile
    worked = [lane for lanes in processes._LANES.values() for lane in lanes]
    assert sorted(worked) == sorted(jobs.LANES)


def test_every_process_of_the_procfile_is_a_command() -> None:
    for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            _, _, command = line.partition(": daogou ")
            assert command.split()[0] in COMMANDS, line


def test_every_field_has_words_and_operators() -> None:
    for key, field in FIELDS.items():
        assert field.key == key
        assert CHINESE.search(field.label), key
        assert field.ops or field.kind.ops, key
    labels = [field.label for field in FIELDS.values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("key", TRIGGERS)
def test_every_trigger_speaks_chinese_and_finds_its_anchors(key: str) -> None:
    trigger = TRIGGERS[key]
    params = reference.example_of(trigger)
    assert trigger.key == key
    assert CHINESE.search(trigger.label)
    assert CHINESE.search(trigger.sentence(params))
    columns = trigger.due(date(2030, 3, 1), date(2030, 3, 5), params).selected_columns.keys()
    assert list(columns) == ["contact_id", "guide_id", "anchored_on", "anchored_at", "fact"]
    assert {field.key for field in trigger.fields if field.is_required} <= set(params)


def test_every_placeholder_is_described_and_never_empty() -> None:
    for name, placeholder in PLACEHOLDERS.items():
        assert placeholder.name == name
        assert CHINESE.search(placeholder.description), name
        assert placeholder.sample.strip(), name
        assert placeholder.fallback.strip(), name
        assert not re.search(r"[{}]", placeholder.fallback + placeholder.sample), name


_MORE = {"numbers": "2", "words": "王女士"}


def test_every_guide_command_is_explained_answered_and_understood() -> None:
    assert {form.verb for form in FORMS} == set(Verb) == set(_ANSWERS)
    for form in FORMS:
        assert CHINESE.search(form.meaning)
        understood = parse(form.example)
        assert understood is not None
        assert understood.verb == form.verb
        for name in form.names:
            found = parse(f"{name} {_MORE.get(form.takes, '')}".strip())
            assert found is not None, name
            assert found.verb == form.verb, name


def test_no_command_name_stands_for_two_things() -> None:
    names = [name for form in FORMS for name in form.names]
    assert len(set(names)) == len(names)


def test_every_event_class_has_its_row() -> None:
    """A row may be empty: such an event is kept, and nothing follows from it."""
    classes = {
        one
        for one in vars(wecom_events).values()
        if isinstance(one, type) and issubclass(one, wecom_events.Event)
    }
    assert classes - {wecom_events.Event} == set(HANDLERS)


def test_the_timetable_names_jobs_that_exist() -> None:
    source = ast.parse((ROOT / "handlers" / "timetable.py").read_text(encoding="utf-8"))
    daily = {
        node.args[0].value
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Daily"
        and isinstance(node.args[0], ast.Constant)
    }
    # One look an hour is a job an hour, named by it.
    assert daily == {name for name in timetable.JOBS if not name[-1].isdigit()}
    names = [name for name, _ in timetable.NIGHTLY]
    assert len(set(names)) == len(names)


def test_every_command_of_the_program_has_a_help_line() -> None:
    for name, command in COMMANDS.items():
        assert CHINESE.search(command.help), name
