"""kill -9 in rounds (逐轮断电): judge what was promised on the acked list and WeCom's ledger.

    python -m tests.chaos.rounds --rounds 200 [--seed 1] [--victims web,fast,worker,redis,postgres]
                                 [--out FILE]

prints one line a round and a table at the end, which `--out` keeps as a file too; the exit status
is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from tests.chaos.arena import VICTIMS, Arena, Load
from tests.installation import until
from tests.servers import reachable_folder

# Longer than the retries that a kill can leave behind.
QUIET_SECONDS = 120.0


@dataclass
class Judgment:
    """What was counted, and every promise that was broken, in words."""

    rounds: int
    acked: int
    refused: int
    lost: int
    doubled: int
    scans: int
    welcomed: int
    #: From the scan to WeCom's answer, in milliseconds: the middle one and the longest.
    lags_ms: tuple[int, int]
    #: Until nothing was open any more after the last kill.
    quiet_after: float
    ends: dict[str, int]
    #: How long the installation took to answer again, per round.
    recoveries: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The figures, one a line, and what was broken."""
        slowest = max(self.recoveries, default=0.0)
        middle = median(self.recoveries) if self.recoveries else 0.0
        lines = {
            "rounds": self.rounds,
            "acknowledged callbacks": self.acked,
            "refused (sender tries again)": self.refused,
            "lost": self.lost,
            "doubled": self.doubled,
            "welcomes sent / scans": f"{self.welcomed} / {self.scans}",
            "scan to welcome, middle / longest": f"{self.lags_ms[0]} / {self.lags_ms[1]} ms",
            "answering again, middle / longest": f"{middle:.1f} / {slowest:.1f} s",
            "everything done after the last kill": f"{self.quiet_after:.1f} s",
        }
        lines |= {f"  {name}": count for name, count in sorted(self.ends.items())}
        text = [f"{name:<38}{value}" for name, value in lines.items()]
        text += [f"BROKEN: {one}" for one in self.broken] or ["every promise kept"]
        return "\n".join(text) + "\n"


def run(rounds: int, *, seed: int = 1, victims: Sequence[str] = VICTIMS) -> Judgment:
    """Start, load, kill `rounds` times, wait for quiet, judge, stop."""
    folder = reachable_folder()
    dice = random.Random(seed)
    arena = Arena(folder)
    try:
        arena.start()
        load = Load(arena, seed)
        load.start()
        try:
            recoveries = [_round(arena, dice, number, victims) for number in range(1, rounds + 1)]
            time.sleep(1.0)
        finally:
            load.stop()
        judgment = judge(arena, load, recoveries)
    finally:
        status = arena.stop()
    if status != 0:
        judgment.broken.append(f"the installation ended with status {status}")
    if judgment.broken:
        sys.stdout.write(f"its logs are kept in {folder}\n")
    else:
        shutil.rmtree(folder)
    return judgment


def _round(arena: Arena, dice: random.Random, number: int, victims: Sequence[str]) -> float:
    """One kill, mostly of one part, sometimes of two; returns the seconds until it answers."""
    time.sleep(dice.uniform(0.2, 1.0))
    chosen = dice.sample(list(victims), 2 if len(victims) > 1 and dice.random() < 0.25 else 1)
    before = arena.parts()
    for part in chosen:
        arena.kill(part)
    began = time.monotonic()
    until(lambda: arena.recovered({part: before[part] for part in chosen if part in before}), 120)
    took = time.monotonic() - began
    sys.stdout.write(f"round {number}: killed {'+'.join(chosen)}, answering after {took:.1f} s\n")
    sys.stdout.flush()
    return took


def judge(arena: Arena, load: Load, recoveries: Sequence[float] = ()) -> Judgment:
    """Wait until nothing is open, then compare."""
    broken: list[str] = []
    began = time.monotonic()
    try:
        until(lambda: _is_quiet(arena), QUIET_SECONDS)
    except AssertionError:
        broken.append(f"still open after {QUIET_SECONDS:.0f} s: {_open_rows(arena)}")
    quiet_after = time.monotonic() - began
    book, messages = _at_one_moment(arena)
    lost = len(load.acked - book.keys)
    broken += [f"{lost} acknowledged messages are lost"] if lost else []
    sent = Counter((one.who, one.external_userid) for one in _effects(arena, "welcome_sent"))
    twice = [f"{count} welcomes for {pair}" for pair, count in sent.items() if count > 1]
    # Whatever is done has arrived; whatever has arrived is done, or its end is not known.
    if messages > book.told + book.doubtful:
        twice.append(f"{messages} app messages of {book.told}+{book.doubtful} calls")
    broken += twice
    if messages < book.told:
        broken.append(f"{book.told - messages} app messages are said to be sent and are not")
    for customer in _delivered_customers(arena) - book.welcomes.keys():
        broken.append(f"no end of the welcome of {customer} is written down")
    said_sent = {customer for customer, state in book.welcomes.items() if state == "sent"}
    arrived = {customer for _, customer in sent}
    broken += [f"{one} is said to be welcomed and is not" for one in said_sent - arrived]
    return Judgment(
        rounds=len(recoveries),
        acked=len(load.acked),
        refused=load.refused,
        lost=lost,
        doubled=len(twice),
        scans=len(load.scans),
        welcomed=len(sent),
        lags_ms=book.lags_ms,
        quiet_after=quiet_after,
        ends=book.ends,
        recoveries=list(recoveries),
        broken=broken,
    )


def _at_one_moment(arena: Arena) -> tuple[_Book, int]:
    """The book and the ledger's messages, read while nothing moved between the two readings."""
    book = _read_book(arena)
    for _ in range(20):
        messages = len(_effects(arena, "app_message"))
        again = _read_book(arena)
        if again == book and _is_quiet(arena):
            break
        # A late welcome's end has just asked for one more alert.
        time.sleep(1.0)
        book = again
    return book, messages


@dataclass(frozen=True)
class _Book:
    """What the installation says of itself."""

    keys: set[bytes]
    ends: dict[str, int]
    #: external_userid → how its welcome ended.
    welcomes: dict[str, str]
    #: App messages that are done, and those whose end is not known.
    told: int
    doubtful: int
    lags_ms: tuple[int, int]


def _read_book(arena: Arena) -> _Book:
    with arena.database() as database:
        ends = database.execute(
            "SELECT 'inbox ' || state, count(*) FROM inbox GROUP BY 1"
            " UNION ALL SELECT kind || ' ' || state, count(*) FROM outbox GROUP BY 1"
        ).fetchall()
        welcomes = database.execute(
            "SELECT contact.external_userid, welcome_send.state FROM welcome_send"
            " JOIN follow_relation ON follow_relation.id = welcome_send.relation_id"
            " JOIN contact ON contact.id = follow_relation.contact_id"
        ).fetchall()
        told, doubtful = database.execute(
            "SELECT count(*) FILTER (WHERE state = 'done'),"
            " count(*) FILTER (WHERE state = 'unknown') FROM outbox WHERE api = 'message/send'"
        ).fetchone() or (0, 0)
        lags = database.execute(
            "SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY lag_ms), 0),"
            " coalesce(max(lag_ms), 0) FROM welcome_send WHERE state = 'sent'"
        ).fetchone() or (0, 0)
        keys = {bytes(row[0]) for row in database.execute("SELECT event_key FROM inbox")}
    return _Book(keys, dict(ends), dict(welcomes), told, doubtful, (lags[0], lags[1]))


def _effects(arena: Arena, kind: str) -> list:  # type: ignore[type-arg]
    return arena.sandbox.town.effects(kind)


def _delivered_customers(arena: Arena) -> set[str]:
    """Customers whose add WeCom delivered and saw answered."""
    customers = set()
    for letter in arena.sandbox.town.letters():
        if letter.acked_at is not None and b"add_half_external_contact" in letter.plaintext:
            text = letter.plaintext.decode()
            customers.add(text.split("<ExternalUserID><![CDATA[")[1].split("]]>")[0])
    return customers


def _open_rows(arena: Arena) -> dict[str, int]:
    with arena.database() as database:
        return dict(
            database.execute(
                "SELECT 'inbox ' || state, count(*) FROM inbox WHERE state IN ('due', 'running')"
                " GROUP BY 1 UNION ALL SELECT 'outbox ' || kind || ' ' || state, count(*)"
                " FROM outbox WHERE state IN ('due', 'sending') GROUP BY 1"
            ).fetchall()
        )


def _is_quiet(arena: Arena) -> bool:
    spooled = sum(path.stat().st_size for path in (arena.var_dir / "spool").glob("*.spool*"))
    try:
        return not spooled and not _open_rows(arena) and not arena.sandbox.town.letters("queued")
    except psycopg.OperationalError:
        return False


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--out", type=Path, help="keep the table in this file")
    asked = parser.parse_args()
    judgment = run(asked.rounds, seed=asked.seed, victims=asked.victims.split(","))
    sys.stdout.write(judgment.table())
    if asked.out is not None:
        asked.out.write_text(judgment.table(), encoding="utf-8")
    return 1 if judgment.broken else 0


if __name__ == "__main__":
    sys.exit(main())
