"""A bot and a pretend WeCom on the wire (对话现场), for tests of what people say and get."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot.clock import business_day
from bot.crm.models import Guide
from bot.sandbox import codes, kf_actors, knobs
from bot.sandbox.town import Effect
from bot.wecom.events import ContactAdded, KfArrived
from handlers.lanes import LANES, Source
from sop.models import Enrollment, Sop, SopStep, SopVersion, Task, TaskState
from tests.factories import Make
from tests.world import CORP, KFID, World

GUIDE, CUSTOMER = "wangfang", "wmHanMei"

_numbers = itertools.count(1)


class Talk(World):
    """The guide 王芳 of 南京路店 in both worlds, the customer 韩梅 only in WeCom's so far.

    The same world as the scenarios', in real time; but events are handed over by the test itself,
    and only the calls they cause are made by `settle`.
    """

    def __init__(self, path: Path, engine: Engine, sessions: sessionmaker[Session]) -> None:
        super().__init__(path, engine.url.render_as_string(hide_password=False), None, start=None)
        self.clock = self.bot.clock
        self.sessions = sessions
        knobs.turn(self.town, callback_paused=True)
        self._fill()

    def _fill(self) -> None:
        store = self.town.add_department("南京路店", code="store:SH001")
        self.town.add_member(GUIDE, "王芳", department_id=store)
        self.town.add_member("liuyang", "刘洋", department_id=store)
        self.town.add_kf_account("星河客服", open_kfid=KFID, servicers=[GUIDE])
        with self.sessions() as session, session.begin():
            make = Make(session)
            make.brand()
            shop = make.store(name="南京路店", code="SH001")
            self.store_id = shop.id
            self.guide_id = make.guide(shop, userid=GUIDE, name="王芳").id

    def now(self) -> datetime:
        """The moment as WeCom writes it into an event: whole seconds."""
        return self.clock.now().replace(microsecond=0)

    def pass_time(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))

    def befriend(self, userid: str = GUIDE) -> None:
        """The two become friends in WeCom."""
        self.town.befriend(userid, CUSTOMER)

    def code(self, userid: str = GUIDE) -> str:
        """A welcome code, as WeCom issues one for an add."""

        with self.town.write() as db:
            return codes.issue(self.town, db, "welcome", userid=userid, external_userid=CUSTOMER)

    def added(self, code: str | None, *, at: datetime | None = None) -> ContactAdded:
        return ContactAdded(
            created_at=at or self.now(),
            to_user=CORP,
            userid=GUIDE,
            external_userid=CUSTOMER,
            state=None,
            welcome_code=code,
        )

    def writes(self, text: str) -> KfArrived:
        """The customer writes to 微信客服."""
        kf_actors.write(self.town, CUSTOMER, KFID, text)
        return self.arrived()

    def arrived(self, token: str = "") -> KfArrived:
        return KfArrived(created_at=self.now(), to_user=CORP, open_kfid=KFID, token=token)

    def settle(self) -> None:
        """Make the calls that are due; nothing else of the worker runs here."""
        sources = [*LANES["fast"].sources, *LANES["send"].sources, *LANES["marks"].sources]
        while sum(self._work(source) for source in sources):
            pass

    def _work(self, source: Source) -> int:
        pieces = source.claim(self.bot, 50)
        for piece in pieces:
            source.work(self.bot, piece)
        return len(pieces)

    def effects(self, kind: str, who: str | None = None) -> list[Effect]:
        """What reached people so far; nothing is worked off for it."""
        found = self.town.effects(kind)
        return [one for one in found if who is None or who in (one.who, one.external_userid)]


@pytest.fixture
def talk(tmp_path: Path, engine: Engine, sessions: sessionmaker[Session]) -> Iterator[Talk]:
    talk = Talk(tmp_path, engine, sessions)
    yield talk
    talk.stop()


def rows(sessions: sessionmaker[Session], statement: Any) -> list[Any]:
    """What the database says now, in a session of its own."""
    with sessions() as session:
        return list(session.scalars(statement))


def open_tasks(talk: Talk, *names: str, guide_id: int | None = None) -> list[int]:
    """Today's tasks of the guide, one for each customer, numbered from 1."""
    with talk.sessions() as session, session.begin():
        make = Make(session)
        guide = session.get_one(Guide, guide_id or talk.guide_id)
        sop = Sop(name=f"计划{next(_numbers)}")
        session.add(sop)
        session.flush()
        version = SopVersion(
            sop_id=sop.id, number=1, state="published", trigger={"kind": "followed"}
        )
        session.add(version)
        session.flush()
        step = SopStep(
            version_id=version.id, key="1", position=1, day=0, kind="chat", title="首周关怀"
        )
        session.add(step)
        session.flush()
        ids = []
        for number, name in enumerate(names, 1):
            contact = make.contact(guide, name=name)
            enrollment = Enrollment(
                sop_id=sop.id,
                version_id=version.id,
                contact_id=contact.id,
                anchored_on=business_day(talk.clock.now()),
            )
            session.add(enrollment)
            session.flush()
            task = Task(
                enrollment_id=enrollment.id,
                step_key="1",
                step_id=step.id,
                contact_id=contact.id,
                guide_id=guide.id,
                store_id=guide.store_id,
                wanted_on=business_day(talk.clock.now()),
                due_on=business_day(talk.clock.now()),
                planned_on=business_day(talk.clock.now()),
                expires_on=business_day(talk.clock.now()) + timedelta(days=3),
                number=number,
                state=TaskState.OPEN.value,
                why={"step": "首周关怀"},
            )
            session.add(task)
            session.flush()
            ids.append(task.id)
        return ids
