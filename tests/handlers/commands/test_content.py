"""`daogou load`, `dump` and `import`, from file to database and back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.handlers.brand_pack.parts import publishes
from tests.handlers.commands.conftest import Run
from tests.servers import ROOT

PACK = """\
brand: 星河珠宝
stores: [{code: SH001, name: 南京路店}]
guides: [{userid: wangfang, name: 王芳, store: SH001}]
"""


def test_a_pack_is_loaded_and_dumped_and_loaded_from_standard_input(
    daogou: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    loaded = daogou("load", str(file))
    assert (loaded.status, loaded.out) == (
        0,
        "已载入：门店 1，导购 1；新发布 SOP 版本 0 个。\n",
    )
    dumped = daogou("dump")
    assert yaml.safe_load(dumped.out) == yaml.safe_load(PACK)
    monkeypatch.setattr("sys.stdin", io.StringIO(dumped.out))
    assert daogou("load", "-").status == 0
    assert daogou("dump").out == dumped.out


def test_the_starter_pack_is_loaded_by_its_name_beside_what_is_there(
    daogou: Run, tmp_path: Path
) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    assert daogou("load", str(file)).status == 0
    loaded = daogou("load", "starter")
    assert loaded.status == 0
    assert "券模板 6" in loaded.out
    assert "提醒" not in loaded.out
    assert yaml.safe_load(daogou("dump").out).items() >= yaml.safe_load(PACK).items()
    assert "新发布 SOP 版本 0 个" in daogou("load", "starter").out


def test_a_load_that_meets_another_writer_in_a_ring_of_locks_is_done_again(
    daogou: Run, tmp_path: Path, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    assert daogou("load", str(file)).status == 0
    file.write_text(PACK.replace("星河珠宝", "星河").replace("南京路店", "南京东路店"), "utf-8")
    # The other one never looks for a ring, so it is the load that is sent back.
    session.execute(text("SET LOCAL deadlock_timeout = '1h'"))
    session.execute(text("UPDATE store SET name = name"))
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(daogou, "load", str(file))
        waits = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not session.scalar(waits):
            session.execute(text("SELECT pg_stat_clear_snapshot()"))
            assert not loading.done(), loading.result()
        session.execute(text("UPDATE brand SET name = name"))
        session.commit()
        assert loading.result(30).status == 0
    assert "transaction repeated attempt=1" in caplog.text
    assert {"星河", "南京东路店"} <= set(
        session.scalars(text("SELECT name FROM brand UNION SELECT name FROM store"))
    )


def test_a_reader_who_has_seen_enough_is_no_failure(
    daogou: Run, session: Session, database_url: str
) -> None:
    publishes(session, PACK)
    session.commit()
    nobody, writing = os.pipe()
    os.close(nobody)
    dumping = [sys.executable, "-m", "app", "dump"]
    ended = subprocess.run(dumping, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_wrong_pack_or_file_is_one_line_and_changes_nothing(daogou: Run, tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK + "sop: []\n", encoding="utf-8")
    daogou("load", str(file)).refused("第 4 行：", "是不是 sops")
    file.write_bytes("brand: 星河".encode("gb18030"))
    daogou("load", str(file)).refused("不是 UTF-8 文本")
    daogou("load", str(tmp_path)).refused("是文件夹")
    daogou("load", str(tmp_path / "none.yaml")).refused("没有这个文件")
    daogou("import", "members", ".").refused("没有这个文件")
    assert daogou("dump").out == "{}\n"


def test_a_clean_file_is_imported_and_leaves_no_rejects(daogou: Run, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text("会员号,姓名,手机号\nM1,王女士,13800000001\nM2,李女士,13800000002\n", "utf-8")
    ended = daogou("import", "members", str(file))
    assert (ended.status, ended.out) == (0, "导入 2 行，重复 0 行，拒绝 0 行。\n")
    assert "2/2 行" in ended.err
    assert [one.name for one in tmp_path.glob("*.csv")] == ["members.csv"]
    again = daogou("import", "members", str(file))
    assert (again.status, again.out) == (0, "导入 0 行，重复 2 行，拒绝 0 行。\n")
    assert "王女士" in daogou("explain", "M1").out.splitlines()[0]


def test_refused_rows_are_counted_and_their_file_is_named(daogou: Run, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text("会员号,姓名,手机号\nM1,王女士,13800000001\nM2,李女士,abc\n", "utf-8")
    ended = daogou("import", "members", str(file))
    rejects = tmp_path / "members.rejected.csv"
    assert ended.status == 1
    assert ended.out.splitlines() == [
        "导入 1 行，重复 0 行，拒绝 1 行。",
        f"被拒绝的行和原因：{rejects}",
    ]
    head, row = rejects.read_text(encoding="utf-8-sig").splitlines()
    assert head == "会员号,姓名,手机号,行号,原因"
    assert row.startswith("M2,李女士,abc,3,")
    file.write_text("姓名\n王女士\n", "utf-8")
    daogou("import", "members", str(file)).refused("缺少列")
