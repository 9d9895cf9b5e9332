"""The long-running commands: run, web, worker, clock, sandbox; and migrate."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from alembic import command as alembic
from alembic.config import Config
from alembic.util import CommandError

from bot.embedded.house import FIRST_START, web_argv
from bot.errors import UserError
from bot.sandbox.serving import serve
from handlers import clock as clock_door
from handlers import worker as worker_door
from handlers.brand_pack import sample
from handlers.commands.arguments import port_of
from handlers.commands.office import Office

LONG_RUNNING = frozenset({"run", "web", "worker", "clock", "sandbox"})
ROOT = Path(__file__).parents[2]
# The other workers stand in on the fast lane while its own worker starts.
_STANDS_IN_FOR: dict[str, tuple[str, ...]] = {"fast": (), "rest": ("fast",)}
# PostgreSQL allows 100 by default: web, fast and one worker with the rest stay well below.
_WORKER_CONNECTIONS = 24
_LANES = {"fast": ("fast",), "rest": ("events", "send", "marks", "slow")}


def none(parser: argparse.ArgumentParser) -> None:
    """A command without arguments."""


def worker_arguments(parser: argparse.ArgumentParser) -> None:
    """`worker` or `worker fast`."""
    parser.add_argument("lanes", nargs="?", choices=sorted(_LANES), default="rest")
    parser.add_argument("--with-clock", action="store_true", help="时钟也在这个进程里")


def sandbox_arguments(parser: argparse.ArgumentParser) -> None:
    """`sandbox --port N`."""
    parser.add_argument("--port", type=port_of, required=True)


def upgrade(database_url: str) -> None:
    """Bring the schema of a database to the newest version; two at once wait for each other."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["database_url"] = database_url
    try:
        alembic.upgrade(config, "head")
    except CommandError:
        raise UserError("数据库的结构比这个程序新，请先更新程序") from None


def migrate(args: argparse.Namespace, office: Office) -> int:
    """`daogou migrate`."""
    upgrade(office.servers.database_url)
    print("数据库已是最新结构。")
    return 0


def run(args: argparse.Namespace, office: Office) -> int:
    """`daogou run`: becomes the small process that starts and watches everything."""
    os.execv(sys.executable, [sys.executable, "-m", "bot.embedded.house"])


def prepare(args: argparse.Namespace, office: Office) -> int:
    """Part of `run`: schema and sample brand; says FIRST_START when the second half must follow."""
    bot = office.bot
    if args.settle:
        sample.settle_once(bot)
        return 0
    upgrade(office.servers.database_url)
    if not office.settings.sandbox:
        return 0
    sample.load_once(bot, office.roof.sandbox_config(bot))
    return 0 if sample.is_settled(bot) else FIRST_START


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """`prepare [--settle]`."""
    parser.add_argument("--settle", action="store_true", help="第二步：网页启动之后")


def web(args: argparse.Namespace, office: Office) -> int:
    """`daogou web`: granian on the web port, loopback; a reverse proxy stands before it."""
    settings = office.settings
    if settings.database_url is not None:
        # Nothing of the app is needed in the process that only looks after the web workers.
        os.execv(sys.executable, web_argv(settings.port))
    # The servers belong to this command: they must stay open while the web serves.
    assert office.servers is not None
    serving = subprocess.Popen(web_argv(settings.port))
    # Whoever ends this command ends the web: left alone it would go on serving, and share its port
    # with the next one. Ctrl-C reaches both by itself.
    signal.signal(signal.SIGTERM, lambda number, frame: serving.send_signal(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serving.wait()


def worker(args: argparse.Namespace, office: Office) -> int:
    """`daogou worker [fast]`."""
    office.pool = _WORKER_CONNECTIONS
    if not args.with_clock:
        worker_door.run_lanes(office.bot, _LANES[args.lanes], _STANDS_IN_FOR[args.lanes])
        return 0
    stop = threading.Event()
    ticking = threading.Thread(target=clock_door.run_clock, args=(office.bot, stop), name="clock")
    ticking.start()
    try:
        worker_door.run_lanes(office.bot, _LANES[args.lanes], _STANDS_IN_FOR[args.lanes])
    finally:
        stop.set()
        ticking.join()
    return 0


def clock(args: argparse.Namespace, office: Office) -> int:
    """`daogou clock`."""
    clock_door.run_clock(office.bot, stop_on_signals())
    return 0


def sandbox(args: argparse.Namespace, office: Office) -> int:
    """`daogou sandbox --port N`: the pretend platform alone, for drills."""
    stop = stop_on_signals()
    server = serve(office.roof.sandbox_config(office.bot), args.port)
    print(f"沙箱平台：{server.url}", flush=True)
    stop.wait()
    server.stop()
    return 0


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
