"""The callback door under load: durable answers beside a route that only decrypts.

Throughput in a closed loop (both servers in turns), then latency at a steady rate in an open loop,
a fifth of the deliveries being repeats. Afterwards every answer of 200 must be one row.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter

from ground import letters
from ground.installation import Installation, free_port, installed, running
from ground.letters import Letters
from ground.load import Job, Load, Report
from ground.table import percentile, show

_CONNECTIONS = 32
_WEB = ("-m", "app", "web")


def main() -> int:
    """Measure, check, print; the exit status says whether nothing was lost or doubled."""
    given = _arguments()
    acked: Counter[bytes] = Counter()
    with installed() as install:
        port = free_port()
        ratios, rates = [], []
        for _ in range(given.rounds):
            sealed = letters.edits(given.pool)
            with running(install, _decrypt_only(port), port=port):
                limit = _closed(install, port, sealed, given.seconds, repeats=True)
            with running(install, _WEB, port=install.port):
                durable = _closed(install, install.port, sealed, given.seconds)
            _count(acked, sealed, durable)
            rates.append((limit, durable))
            ratios.append(durable.rate() / limit.rate())
        _show_throughput(rates, ratios)
        _steady(install, given, acked)
        return _verify(install, acked)


def _decrypt_only(port: int) -> tuple[str, ...]:
    return ("-c", _IN_BENCHMARKS.format(port=port))


# The yardstick lives beside the benchmarks, not in the product: it finds its module by the path.
_IN_BENCHMARKS = (
    "import sys; sys.path.insert(0, 'benchmarks'); sys.argv = ['decrypt_only', '{port}'];"
    "from ground.decrypt_only import main; main()"
)


def _closed(
    install: Installation, port: int, sealed: Letters, seconds: float, *, repeats: bool = False
) -> Report:
    warm = letters.edits(300, doubled=0)
    Load(Job(port, warm.requests, 8, None, 5.0), install.folder).wait()
    job = Job(port, sealed.requests, _CONNECTIONS, None, seconds, repeats)
    return Load(job, install.folder).wait()


def _steady(install: Installation, given: argparse.Namespace, acked: Counter[bytes]) -> None:
    rows = []
    with running(install, _WEB, port=install.port):
        for rate, reach in ((500, 50), (1000, 250)):
            sealed = letters.edits(int(rate * given.steady))
            job = Job(install.port, sealed.requests, 64, rate, given.steady)
            report = Load(job, install.folder).wait()
            _count(acked, sealed, report)
            sorted_ms = report.latencies()
            refused = sum(one.status != 200 for one in report.outcomes)
            rows.append(
                (f"{rate}/s", len(sorted_ms), refused,
                 *(f"{percentile(sorted_ms, share):.1f}" for share in (0.5, 0.99, 1.0)),
                 f"<= {reach}", f"{report.cpu_seconds / report.seconds:.0%}")
            )  # fmt: skip
    header = ("steady", "answers", "not 200", "p50 ms", "p99 ms", "max ms", "p99 goal", "load cpu")
    show("answered after a durable write", header, rows)


def _show_throughput(rates: list[tuple[Report, Report]], ratios: list[float]) -> None:
    rows = []
    for name, place in (("decrypt only", 0), ("durable", 1)):
        reports = [pair[place] for pair in rates]
        latencies = sorted(ms for report in reports for ms in report.latencies())
        rows.append(
            (name, f"{statistics.mean(report.rate() for report in reports):,.0f}",
             f"{percentile(latencies, 0.5):.1f}", f"{percentile(latencies, 0.99):.1f}",
             f"{statistics.mean(one.cpu_seconds / one.seconds for one in reports):.0%}")
        )  # fmt: skip
    show(f"{_CONNECTIONS} connections", ("route", "per s", "p50 ms", "p99 ms", "load cpu"), rows)
    each = ", ".join(f"{ratio:.0%}" for ratio in ratios)
    print(f"  durable / decrypt only: {statistics.mean(ratios):.0%}  (goal 50%; rounds {each})")


def _count(acked: Counter[bytes], sealed: Letters, report: Report) -> None:
    for one in report.outcomes:
        if one.status == 200:
            acked[sealed.keys[one.index]] += 1


def _verify(install: Installation, acked: Counter[bytes]) -> int:
    with install.connect() as connection:
        stored = dict(connection.execute("SELECT event_key, seen_count FROM inbox").fetchall())
        rows = connection.execute("SELECT count(*) FROM inbox").fetchone()
    lost = sum(key not in stored for key in acked)
    unseen = sum(stored.get(key, 0) < times for key, times in acked.items())
    doubled = (rows[0] if rows else 0) - len(stored)
    print(
        f"\n  {sum(acked.values()):,} answers of 200 to {len(acked):,} messages:"
        f" {lost} lost, {doubled} doubled, {unseen} with a delivery not counted"
    )
    return 1 if lost or doubled else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each closed loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steady", type=float, default=15.0, help="seconds at each steady rate")
    parser.add_argument("--pool", type=int, default=24_000, help="requests sealed per round")
    parser.add_argument("--quick", action="store_true", help="one short round")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.rounds, given.steady, given.pool = 2.0, 1, 4.0, 8_000
    return given


if __name__ == "__main__":
    sys.exit(main())
