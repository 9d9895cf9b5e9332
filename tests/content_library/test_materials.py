"""Materials and their uploads, against the sandbox on the wire."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bot.errors import UserError, WeComUnavailable
from bot.sandbox import knobs
from content_library import materials
from content_library.models import Material
from tests.talk import Talk, rows, talk

__all__ = ["talk"]

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


def _add(talk: Talk, **given: object) -> int:
    with talk.sessions() as session, session.begin():
        material = Material(**{"name": "图", "kind": "image", "filename": "a.png"} | given)
        session.add(material)
        session.flush()
        return material.id


def _get(talk: Talk, material_id: int) -> Material:
    [material] = rows(talk.sessions, select(Material).where(Material.id == material_id))
    return material


def _renew(talk: Talk) -> int:
    return materials.renew_media(talk.bot.gateway, talk.sessions, talk.clock)


def test_an_upload_is_made_once_and_renewed_after_two_days(talk: Talk) -> None:
    picture = _add(talk, content=PNG)
    assert not materials.is_ready(_get(talk, picture), talk.clock.now())

    assert _renew(talk) == 1
    first = _get(talk, picture)
    assert materials.is_ready(first, talk.clock.now())
    assert _renew(talk) == 0

    talk.pass_time(days=2, minutes=1)
    assert materials.is_ready(first, talk.clock.now())
    assert _renew(talk) == 1
    assert _get(talk, picture).media_id != first.media_id


def test_an_upload_too_old_is_not_ready(talk: Talk) -> None:
    picture = _add(talk, content=PNG)
    _renew(talk)

    talk.pass_time(days=3)

    assert not materials.is_ready(_get(talk, picture), talk.clock.now())


def test_a_refused_material_is_noted_and_the_others_go_on(talk: Talk) -> None:
    bad = _add(talk, name="坏的", content=PNG)
    good = _add(talk, name="好的", content=PNG)
    knobs.add_fault(talk.town, "media/upload", "errcode", 40009, times=1)

    assert _renew(talk) == 1

    assert _get(talk, bad).media_error
    assert _get(talk, bad).media_id is None
    assert _get(talk, good).media_id
    assert _renew(talk) == 1
    assert _get(talk, bad).media_error is None


def test_an_outage_ends_the_run_and_the_next_one_goes_on(talk: Talk) -> None:
    _add(talk, name="一", content=PNG)
    _add(talk, name="二", content=PNG)
    knobs.add_fault(talk.town, "media/upload", "errcode", -1, times=1)

    with pytest.raises(WeComUnavailable):
        _renew(talk)

    assert _renew(talk) == 2


def test_an_upload_of_bytes_replaced_meanwhile_is_not_kept(talk: Talk) -> None:
    picture = _add(talk, content=PNG)
    was = _get(talk, picture).updated_at
    with talk.sessions() as session, session.begin():
        session.execute(update(Material).values(updated_at=was + timedelta(seconds=1)))
        now = talk.clock.now()
        assert not materials.store_media_id(session, picture, "old", now, of=was)

    assert _get(talk, picture).media_id is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "gif"}, "kind"),
        ({"kind": "image", "content": None}, "content"),
        ({"kind": "image", "content": b"GIF89a....."}, "content"),
        ({"kind": "video", "content": PNG}, "content"),
        ({"kind": "file", "content": b"12345"}, "content"),
        ({"kind": "link", "url": "javascript:alert(1)"}, "url"),
        ({"kind": "link", "title": "长" * 50, "url": "https://example.com"}, "title"),
        ({"kind": "miniprogram", "content": PNG, "page": "a.html"}, "appid"),
    ],
)
def test_a_material_wecom_would_refuse_is_refused_here(
    given: dict[str, object], field: str
) -> None:
    with pytest.raises(UserError) as caught:
        materials.check(Material(**{"name": "素材"} | given))

    assert caught.value.field == field


def test_only_what_is_ready_goes_along(talk: Talk, session: Session) -> None:
    link = Material(name="保养手册", kind="link", title="保养", url="https://example.com")
    picture = Material(name="海报", kind="image", content=PNG)

    messages, left_out = materials.ready_messages([picture, link], talk.clock.now())

    assert [message.kind for message in messages] == ["link"]
    assert left_out == ["海报"]
