"""Reading the whole book from WeCom (同步): guides, stores, customers; resumable after any page.

The nightly comparison repairs what no callback told; every repair is counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from bot.clock import Clock
from bot.crm import contact_details, directory, roster
from bot.crm.models import Contact, FollowRelation, FollowState, Guide, RosterSync
from bot.crm.relation_story import Report
from bot.db import transaction
from bot.errors import RateLimited, Refused
from bot.wecom.details import ContactPage
from bot.wecom.gateway import Gateway

log = logging.getLogger(__name__)

GUIDES_PER_CALL = 100
# The limiter and WeCom may both say wait; a block lasts up to an hour.
_LONGEST_WAIT = 3600.0
# What began or ended this recently may not be in WeCom's lists yet.
_SETTLED = timedelta(minutes=10)

_KNOWN = text(
    """
    SELECT c.external_userid, f.state, f.ended_by, f.changed_at
    FROM follow_relation f JOIN contact c ON c.id = f.contact_id
    WHERE f.guide_id = :guide_id AND c.external_userid IS NOT NULL
    """
)


@dataclass(frozen=True)
class SyncCounts:
    """What the book holds after a sync."""

    guides: int
    contacts: int
    relations: int


T = TypeVar("T")
Progress = Callable[[str], None]


def sync(
    gateway: Gateway,
    sessions: sessionmaker[Session],
    clock: Clock,
    *,
    secret_key: str,
    progress: Progress = log.info,
) -> SyncCounts:
    """Read guides, stores and all customers. Killed and started again, it goes on where it was."""
    _read_directory(gateway, sessions, progress)
    run = _run(gateway, sessions, clock)
    while run.finished_at is None:
        batch = run.userids[run.position : run.position + GUIDES_PER_CALL]
        at = clock.now()
        page = _page(gateway, batch, run.cursor)
        with transaction(sessions) as session:
            if not _advance(session, run, page, clock.now()):
                progress("另一个同步正在进行，接着它的进度")
            else:
                contact_details.apply_details(
                    session, page.contacts, at, secret_key=secret_key, is_whole=False
                )
        with sessions() as session:
            run = session.scalars(select(RosterSync)).one()
        progress(
            f"已读导购 {min(run.position, len(run.userids))}/{len(run.userids)}，"
            f"跟进关系 {run.row_count}"
        )
    with sessions() as session:
        return _counts(session)


def reconcile_relations(
    gateway: Gateway,
    sessions: sessionmaker[Session],
    clock: Clock,
    *,
    secret_key: str | None = None,
) -> int:
    """Compare each guide's customers with WeCom's list and repair ours; returns repairs made."""
    with sessions() as session:
        guides = session.execute(
            select(Guide.id, Guide.userid).where(Guide.is_active).order_by(Guide.id)
        ).all()
    visible = {one.lower() for one in _patiently(gateway.follow_users)}
    begun = ended = 0
    for guide_id, userid in guides:
        if userid.lower() not in visible:
            # Out of the app's sight: an empty list would say nothing about her customers.
            continue
        missing, extra, at = _compare(gateway, sessions, clock, guide_id, userid)
        if missing:
            begun += _read_guide(gateway, sessions, clock, guide_id, userid, secret_key)
        if extra:
            with transaction(sessions) as session:
                said = [roster.Said(userid, one, Report.ABSENT, at) for one in sorted(extra)]
                roster.tell(session, said)
            ended += len(extra)
    log.info("roster reconciled guides=%d begun=%d ended=%d", len(guides), begun, ended)
    return begun + ended


def _read_directory(gateway: Gateway, sessions: sessionmaker[Session], progress: Progress) -> None:
    departments = _patiently(gateway.departments)
    members = []
    for department in departments:
        members += _patiently(partial(gateway.users, department.id))
    with transaction(sessions) as session:
        guides = directory.keep(session, departments, members)
    progress(f"通讯录：部门 {len(departments)}，成员 {guides}")


def _run(gateway: Gateway, sessions: sessionmaker[Session], clock: Clock) -> RosterSync:
    """The unfinished run there is, or a new one."""
    with sessions() as session:
        run = session.get(RosterSync, 1)
        if run is not None and run.finished_at is None:
            return run
    userids = sorted(_patiently(gateway.follow_users))
    now = clock.now()
    with transaction(sessions) as session:
        run = session.get(RosterSync, 1, with_for_update=True)
        if run is None:
            run = RosterSync(id=1, userids=userids, started_at=now)
            session.add(run)
        elif run.finished_at is not None:
            run.userids, run.started_at, run.finished_at = userids, now, None
            run.position, run.cursor, run.row_count = 0, "", 0
            run.page_no += 1
        if not userids:
            run.finished_at = now
        session.flush()
        session.refresh(run)
        return run


def _page(gateway: Gateway, userids: list[str], cursor: str) -> ContactPage:
    try:
        return _patiently(lambda: gateway.contacts_by_guides(userids, cursor))
    except Refused:
        if not cursor:
            raise
        # A cursor from before a long pause may have died; the batch is simply read again.
        return _patiently(lambda: gateway.contacts_by_guides(userids, ""))


def _advance(session: Session, run: RosterSync, page: ContactPage, now: datetime) -> bool:
    """Claim the right to write this page; False when somebody else wrote it."""
    is_last = not page.next_cursor
    position = run.position + (GUIDES_PER_CALL if is_last else 0)
    claimed = session.execute(
        update(RosterSync)
        .where(RosterSync.id == 1, RosterSync.page_no == run.page_no)
        .values(
            position=position,
            cursor=page.next_cursor,
            page_no=run.page_no + 1,
            row_count=RosterSync.row_count + len(page.contacts),
            finished_at=now if position >= len(run.userids) else None,
        )
        .returning(RosterSync.id)
    )
    return claimed.first() is not None


def _compare(
    gateway: Gateway,
    sessions: sessionmaker[Session],
    clock: Clock,
    guide_id: int,
    userid: str,
) -> tuple[set[str], set[str], datetime]:
    """(theirs that we miss, ours that they miss, moment of the reading) of one guide."""
    at = clock.now()
    theirs = set(_patiently(lambda: gateway.contacts_of(userid)))
    with sessions() as session:
        ours = {row.external_userid: row for row in session.execute(_KNOWN, {"guide_id": guide_id})}
    # A customer who deleted the guide stays in WeCom's list: that is no difference.
    missing = {
        one
        for one in theirs
        if one not in ours
        or ours[one].state == FollowState.HALF
        or (ours[one].state == FollowState.ENDED and ours[one].ended_by != Report.CUSTOMER)
    }
    extra = {
        one
        for one, row in ours.items()
        if row.state == FollowState.ACTIVE and one not in theirs and row.changed_at < at - _SETTLED
    }
    return missing, extra, at


def _read_guide(
    gateway: Gateway,
    sessions: sessionmaker[Session],
    clock: Clock,
    guide_id: int,
    userid: str,
    secret_key: str | None,
) -> int:
    """Read one guide's customers in pages; returns how many more of them are live than before."""
    before = _live(sessions, guide_id)
    cursor = ""
    while True:
        at = clock.now()
        page = _page(gateway, [userid], cursor)
        with transaction(sessions) as session:
            contact_details.apply_details(
                session, page.contacts, at, secret_key=secret_key, is_whole=False
            )
        if not page.next_cursor or page.next_cursor == cursor:
            return max(_live(sessions, guide_id) - before, 0)
        cursor = page.next_cursor


def _live(sessions: sessionmaker[Session], guide_id: int) -> int:
    with sessions() as session:
        wanted = select(func.count()).where(
            FollowRelation.guide_id == guide_id, FollowRelation.state != FollowState.ENDED
        )
        return session.scalar(wanted) or 0


def _counts(session: Session) -> SyncCounts:
    contacts = select(func.count()).where(Contact.external_userid.is_not(None))
    relations = select(func.count()).where(FollowRelation.state != FollowState.ENDED)
    return SyncCounts(
        guides=session.scalar(select(func.count()).where(Guide.is_active)) or 0,
        contacts=session.scalar(contacts) or 0,
        relations=session.scalar(relations) or 0,
    )


def _patiently(call: Callable[[], T]) -> T:
    """Make a call, waiting as long as a rate limit says."""
    while True:
        try:
            return call()
        except RateLimited as error:
            time.sleep(min(max(error.retry_after, 0.05), _LONGEST_WAIT))
