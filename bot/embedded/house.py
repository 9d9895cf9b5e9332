"""The processes of one installation in one terminal (`daogou run`), kept by the supervisor.

This module is run as a program of its own and imports nothing of the app, so that the process
which only watches over the others stays small. Everything else it does by starting `app`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

import psycopg

from bot.embedded import schema_version
from bot.embedded.supervisor import Supervisor
from bot.errors import DaogouError, SettingsError
from bot.settings import Settings, environment_for_children

#: What `app prepare` answers when the sample brand must be settled once the web answers.
FIRST_START = 3
# The runs by which the sample brand is marked as there (handlers/brand_pack/sample).
_SAMPLE = "SELECT count(*) FROM job_run WHERE job LIKE 'sample-%' AND state = 'done'"
_SAMPLE_PARTS = 2


def entry() -> None:
    """The `daogou` command: `run` stays in this small process, everything else is the app's."""
    if sys.argv[1:] == ["run"]:
        sys.exit(main())
    os.execv(sys.executable, _argv(*sys.argv[1:]))


def main() -> int:
    """Servers, schema, sample brand, web, workers with the clock; then one line, then watch."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        settings = Settings.from_env()
        with Supervisor(settings) as supervisor:
            servers = supervisor.start_servers()
            env = {"DATABASE_URL": servers.database_url, **bytecode(settings)}
            if servers.redis_url:
                env["REDIS_URL"] = servers.redis_url
            is_ready = _is_prepared(servers.database_url, settings)
            is_first = not is_ready and _app("prepare", env=env) == FIRST_START
            if is_first:
                _say("第一次启动：示例品牌「星河珠宝」已载入，正在同步客户并排出今天的任务…")
            # All at once: a start takes as long as the slowest, not as long as their sum.
            supervisor.spawn("fast", _argv("worker", "fast"), env)
            supervisor.spawn(
                "web", web_argv(settings.port), env, ready=lambda: answers(settings.port)
            )
            if is_first:
                _app("prepare", "--settle", env=env)
            supervisor.spawn("worker", _argv("worker", "--with-clock"), env)
            _say(f"导购助手已启动：{settings.public_base_url}  （Ctrl-C 停止）")
            supervisor.run_until_stopped()
    except DaogouError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a program
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _is_prepared(database_url: str, settings: Settings) -> bool:
    """Whether schema and sample brand are as `app prepare` would leave them; asking is quick."""
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            found = frozenset(row[0] for row in connection.execute(schema_version.QUERY))
            (parts,) = connection.execute(_SAMPLE).fetchone() or (0,)
    except psycopg.Error:
        return False
    is_current = schema_version.fit(found) == schema_version.Fit.CURRENT
    return is_current and (not settings.sandbox or parts == _SAMPLE_PARTS)


def web_argv(port: int) -> list[str]:
    """The web server's own process; only its workers import the app."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--factory"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--blocking-threads", "16", "--respawn-failed-workers", "--no-access-log"),
        *("--log-level", "warning", "app:create_app"),
    ]


def bytecode(settings: Settings) -> dict[str, str]:
    """Where nothing may be written beside the code (containers like to say so), compiled code is
    kept in VAR_DIR: a welcome waits for a restarted worker, and compiling takes it seconds."""
    if not sys.dont_write_bytecode:
        return {}
    folder = settings.var_dir / "bytecode"
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "app", *words]


def _app(*words: str, env: Mapping[str, str]) -> int:
    """Run one command of the app to its end; raises SettingsError when it failed."""
    ended = subprocess.run(_argv(*words), env=environment_for_children(env), check=False)
    if ended.returncode not in (0, FIRST_START):
        raise SettingsError(f"{words[0]} failed, see above")
    return ended.returncode


def answers(port: int) -> bool:
    """Whether our web answers on this port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    sys.exit(main())
