"""kill -9 in rounds (逐轮断电): judge what was promised on the acked list and WeCom's ledger.

    python -m tests.chaos.rounds --rounds 200 [--seed 1] [--victims web,fast,worker,redis,postgres]

prints one line a round and the verdict; the exit status is 1 if a promise was broken.
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

import psycopg

from tests.chaos.arena import VICTIMS, Arena, Load
from tests.installation import until
from tests.servers import reachable_folder

# Longer than the leases and the retries that a kill can leave behind.
QUIET_SECONDS = 150.0


@dataclass
class Judgment:
    """What was counted, and every promise that was broken, in words."""

    rounds: int
    acked: int
    refused: int
    scans: int
    welcomed: int
    #: From the scan to WeCom's answer, in milliseconds: the middle one and the longest.
    lags_ms: tuple[int, int]
    ends: dict[str, int]
    broken: list[str] = field(default_factory=list)


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
            for number in range(1, rounds + 1):
                _round(arena, dice, number, victims)
            time.sleep(1.0)
        finally:
            load.stop()
        judgment = judge(arena, load, rounds)
    finally:
        status = arena.stop()
    if status != 0:
        judgment.broken.append(f"the installation ended with status {status}")
    shutil.rmtree(folder)
    return judgment


def _round(arena: Arena, dice: random.Random, number: int, victims: Sequence[str]) -> None:
    time.sleep(dice.uniform(0.2, 1.0))
    # Mostly one part; sometimes two at once.
    chosen = dice.sample(list(victims), 2 if len(victims) > 1 and dice.random() < 0.25 else 1)
    before = arena.parts()
    for part in chosen:
        arena.kill(part)
    began = time.monotonic()
    until(lambda: arena.recovered({part: before[part] for part in chosen if part in before}), 60)
    took = time.monotonic() - began
    sys.stdout.write(f"round {number}: killed {'+'.join(chosen)}, answering after {took:.1f} s\n")
    sys.stdout.flush()


def judge(arena: Arena, load: Load, rounds: int) -> Judgment:
    """Wait until nothing is open, then compare."""
    broken: list[str] = []
    try:
        until(lambda: _is_quiet(arena), QUIET_SECONDS)
    except AssertionError:
        broken.append(f"still open after {QUIET_SECONDS:.0f} s: {_open_rows(arena)}")
    with arena.database() as database:
        stored = {bytes(row[0]) for row in database.execute("SELECT event_key FROM inbox")}
        ends = dict(
            database.execute("SELECT 'inbox ' || state, count(*) FROM inbox GROUP BY 1").fetchall()
        )
        ends |= dict(
            database.execute(
                "SELECT kind || ' ' || state, count(*) FROM outbox GROUP BY 1"
            ).fetchall()
        )
        welcomes = dict(
            database.execute(
                "SELECT contact.external_userid, welcome_send.state FROM welcome_send"
                " JOIN follow_relation ON follow_relation.id = welcome_send.relation_id"
                " JOIN contact ON contact.id = follow_relation.contact_id"
            ).fetchall()
        )
        (wanted,) = database.execute(
            "SELECT count(*) FROM outbox WHERE api = 'message/send' AND state = 'done'"
        ).fetchone() or (0,)
        middle, longest = database.execute(
            "SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY lag_ms), 0),"
            " coalesce(max(lag_ms), 0) FROM welcome_send WHERE state = 'sent'"
        ).fetchone() or (0, 0)
    broken += _lost(arena, load, stored)
    sent = Counter((one.who, one.external_userid) for one in _effects(arena, "welcome_sent"))
    broken += [f"{count} welcomes for {pair}" for pair, count in sent.items() if count > 1]
    for customer in _delivered_customers(arena):
        if customer not in welcomes:
            broken.append(f"no end of the welcome of {customer} is written down")
    said_sent = {customer for customer, state in welcomes.items() if state == "sent"}
    arrived = {customer for _, customer in sent}
    broken += [f"{one} is said to be welcomed and is not" for one in said_sent - arrived]
    messages = len(_effects(arena, "app_message"))
    broken += [f"{messages} app messages of {wanted} calls"] if messages > wanted else []
    return Judgment(
        rounds=rounds,
        acked=len(load.acked),
        refused=load.refused,
        scans=len(load.scans),
        welcomed=len(sent),
        lags_ms=(middle, longest),
        ends=ends,
        broken=broken,
    )


def _lost(arena: Arena, load: Load, stored: set[bytes]) -> list[str]:
    lost = len(load.acked - stored)
    return [f"{lost} acknowledged messages are lost"] if lost else []


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
    asked = parser.parse_args()
    judgment = run(asked.rounds, seed=asked.seed, victims=asked.victims.split(","))
    sys.stdout.write(f"{judgment}\n")
    return 1 if judgment.broken else 0


if __name__ == "__main__":
    sys.exit(main())
