"""What all reports about one relation add up to (跟进关系的来龙去脉), whatever order they came in.

A relation keeps every beginning and end it heard of; its state is computed from the whole list
each time. So a late, doubled or overtaken callback cannot leave another result than the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.crm.models import FollowState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Report(StrEnum):
    """What can be reported of a relation. Stored in `follow_relation.history`; never renamed."""

    #: Ends. `absent`: WeCom's list does not hold the pair, so the guide's side is gone.
    GUIDE = "guide"
    CUSTOMER = "customer"
    TRANSFER = "transfer"
    ABSENT = "absent"
    #: Beginnings: HALF is a chat that the guide has not confirmed yet.
    HALF = "half"
    FULL = "full"


BEGINNINGS = (Report.HALF, Report.FULL)
# Within one second the platform's times say nothing; ends go first, so the pair counts as together
# until the customer has been read again (`contact.refresh_after`).
_RANK = {kind: rank for rank, kind in enumerate(Report)}


@dataclass(frozen=True)
class Beginning:
    """One time these two began, by which channel state."""

    at: datetime
    state_text: str | None


@dataclass(frozen=True)
class Ending:
    """One time it ended, with the channel state it had begun by."""

    at: datetime
    by: str
    state_text: str | None


@dataclass
class Story:
    """The fold of a history. `state` is None for an empty one."""

    state: FollowState | None = None
    relation_no: int = 0
    beginnings: list[Beginning] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    followed_at: datetime | None = None
    state_text: str | None = None
    changed_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether the two are together now."""
        return self.state in (FollowState.HALF, FollowState.ACTIVE)

    @property
    def last_ending(self) -> Ending | None:
        """The newest end, also when the two are together again."""
        return self.endings[-1] if self.endings else None


def entry(kind: Report, at: datetime, state_text: str | None = None) -> list[Any]:
    """One line of a history, as it is stored."""
    return [(at - _EPOCH) // timedelta(milliseconds=1), kind.value, state_text]


def add(history: Sequence[Sequence[Any]], new: Sequence[Any]) -> list[list[Any]]:
    """The history with one more line, sorted; what it already holds is not added again."""
    known = {(line[0], line[1]): list(line) for line in history}
    kept = known.setdefault((new[0], new[1]), list(new))
    kept[2] = kept[2] or new[2]
    return sorted(known.values(), key=_order)


def confirm(history: Sequence[Sequence[Any]], new: Sequence[Any]) -> list[list[Any]]:
    """The history after a reading that shows the pair together since the time of `new`.

    A later absence was then only a guide out of the app's sight for a while: it is struck out.
    """
    seen = [line for line in history if line[1] != Report.ABSENT or line[0] <= new[0]]
    return add(seen, new)


def is_tied(history: Sequence[Sequence[Any]], at: datetime) -> bool:
    """Whether a beginning and an end share the second `at`, so that only a reading can tell."""
    second = entry(Report.FULL, at)[0] // 1000
    kinds = {Report(line[1]) in BEGINNINGS for line in history if line[0] // 1000 == second}
    return len(kinds) == 2


def fold(history: Sequence[Sequence[Any]]) -> Story:
    """What the reports add up to."""
    story = Story()
    for line in sorted(history, key=_order):
        at, kind = _EPOCH + timedelta(milliseconds=line[0]), Report(line[1])
        if kind in BEGINNINGS:
            _begin(story, kind, at, line[2])
        else:
            _end(story, kind, at)
        story.changed_at = at
    return story


def _begin(story: Story, kind: Report, at: datetime, state_text: str | None) -> None:
    if not story.is_live:
        story.relation_no += 1
        story.followed_at, story.state_text = at, state_text
        story.beginnings.append(Beginning(at, state_text))
        story.state = FollowState.HALF if kind == Report.HALF else FollowState.ACTIVE
        return
    if kind == Report.FULL:
        story.state = FollowState.ACTIVE
    if story.state_text is None and state_text:
        story.state_text = state_text
        story.beginnings[-1] = Beginning(story.beginnings[-1].at, state_text)


def _end(story: Story, kind: Report, at: datetime) -> None:
    if story.state is None:
        # Its beginning was never heard of, yet there was one.
        story.relation_no, story.followed_at = 1, at
    elif not story.is_live:
        return  # The first of two ends is the one that counts.
    story.state = FollowState.ENDED
    by = Report.GUIDE if kind == Report.ABSENT else kind
    story.endings.append(Ending(at, by.value, story.state_text))


def _order(line: Sequence[Any]) -> tuple[int, int, int]:
    return line[0] // 1000, _RANK[Report(line[1])], line[0]
