"""Leadership of the clock: one of many, whoever asks and from however many threads."""

from __future__ import annotations

import threading

from sqlalchemy.engine import Engine

from bot.db import create_database_engine
from handlers.clock import Leadership


def test_threads_that_ask_at_once_do_not_lose_the_leadership(
    engine: Engine, database_url: str
) -> None:
    other_engine = create_database_engine(database_url)
    leader, follower = Leadership(engine), Leadership(other_engine)
    assert leader.hold()
    assert not follower.hold()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(leader.hold() for _ in range(50)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 300
    leader.release()
    assert follower.hold()
    assert not leader.hold()
    follower.release()
    other_engine.dispose()
