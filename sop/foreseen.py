"""What a preview tells (预演结果): its days, its tasks, and what a change adds and takes away."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from sop.versions import Impact


@dataclass(frozen=True)
class DayPreview:
    """One simulated day of the SOP."""

    day: date
    tasks: int
    guides: int
    #: Tasks of the SOP that wait on this day, and guides who are full with some of them waiting.
    waiting: int
    guides_over_cap: int
    #: What the published version makes on that day; 0 without one.
    published_tasks: int
    #: Tasks by kind (chat, sms …), and what waits by what holds it (a `HeldBy` value).
    by_kind: dict[str, int] = field(default_factory=dict)
    waiting_by: dict[str, int] = field(default_factory=dict)
    #: Mass messages that guides confirm, and moments and group messages they are asked for.
    mass_sends: int = 0
    postings: int = 0
    #: Customers whose step came to its day, and whom none of its ways can reach.
    unreached: int = 0


@dataclass(frozen=True)
class Changed:
    """One task that only one of the two versions makes."""

    day: date
    contact_id: int
    contact_name: str
    title: str


@dataclass(frozen=True)
class Change:
    """Tasks by day, customer and step: new ones, those that fall away, those in both."""

    added: int
    gone: int
    same: int
    #: The first of the new ones, and of those that fall away.
    added_samples: list[Changed] = field(default_factory=list)
    gone_samples: list[Changed] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """One task as it would be."""

    day: date
    contact_id: int
    contact_name: str
    guide_name: str
    title: str
    why_line: str
    words: str | None


@dataclass(frozen=True)
class Preview:
    """What publishing would do in the coming days, if guides do each day's tasks on that day."""

    sop_name: str
    warnings: list[str]
    impact: Impact | None
    days: list[DayPreview]
    samples: list[Sample]
    #: Against what the published version makes in the same days.
    change: Change = field(default_factory=lambda: Change(0, 0, 0))

    @property
    def tasks(self) -> int:
        """All tasks of the simulated days."""
        return sum(one.tasks for one in self.days)

    @property
    def difference(self) -> int:
        """More (or fewer) tasks than the published version makes."""
        return self.tasks - sum(one.published_tasks for one in self.days)
