"""Calls over a real wire that misbehaves: bounded, named by what to do, and silent on secrets."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot import errors
from bot.clock import Clock
from bot.settings import WeComSettings
from bot.wecom.gateway import Gateway
from bot.wecom.tokens import TokenStore
from tests.bot.wecom.conftest import SECRET
from tests.bot.wecom.scripted import Handler, timed

SHORT = (1.0, 0.4)


def hang(handler: Handler) -> None:
    handler.server.closing.wait(3)


def redirect(handler: Handler) -> None:
    handler.answer(b"", 302, Location="http://127.0.0.1:9/elsewhere")


def cut_short(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"errcode": 0')
    handler.close_connection = True


def reset(handler: Handler) -> None:
    # Lingering for no time at all makes the close a reset.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    socket.close(handler.connection.detach())


def drip_headers(handler: Handler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: 1\r\nContent-Length: 2\r\n\r\n{}":
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.closing.wait(0.1):
            return


FAULTS = {
    "hangs": hang,
    "502": lambda h: h.answer(b'{"errcode": 0}', 502),
    "404": lambda h: h.answer(b'{"errcode": 0}', 404),
    "redirect": redirect,
    "html": lambda h: h.answer(b"<html>login</html>"),
    "empty": lambda h: h.answer(b""),
    "list": lambda h: h.answer(b"[]"),
    "byte order mark": lambda h: h.answer(b'\xef\xbb\xbf{"errcode": 0}'),
    "truncated json": lambda h: h.answer(b'{"errcode": 0, "x": '),
    "cut short": cut_short,
    "reset": reset,
    "deep": lambda h: h.answer(b"[" * 200_000),
    "no errcode": lambda h: h.answer(b'{"errmsg": "ok"}'),
    "null errcode": lambda h: h.answer(b'{"errcode": null}'),
    "true errcode": lambda h: h.answer(b'{"errcode": true}'),
    "errcode in words": lambda h: h.answer(b'{"errcode": "zero"}'),
    "slow drip": lambda h: h.drip(b'{"errcode": 0}' + b" " * 60, 0.1),
    "slow headers": drip_headers,
    "compressed": lambda h: h.answer(b"\x1f\x8b", Content_Encoding="gzip"),
    "endless": lambda h: h.answer(b'{"errcode": 0, "x": "' + b"y" * (9 * 1024 * 1024) + b'"}'),
    "garbage": lambda h: h.wfile.write(b"hello\r\n\r\n") and None,
    "busy": lambda h: h.answer_json(errcode=-1, errmsg="system busy"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_wire_is_unavailable_soon_and_never_success(name, platform, gateway):
    platform.on("externalcontact/mark_tag", FAULTS[name])
    gateway.token()
    with timed() as waited, pytest.raises(errors.WeComUnavailable) as caught:
        gateway.call("externalcontact/mark_tag", b"{}", timeout=SHORT)
    assert waited.seconds < 1.5
    assert "CANARY" not in str(caught.value)
    assert len(platform.calls("externalcontact/mark_tag")) == 1


def test_a_gettoken_that_hangs_does_not_hold_a_call_for_ever(platform, gateway):
    platform.on("gettoken", lambda h: h.server.closing.wait(20) and None)
    with timed() as waited, pytest.raises(errors.WeComUnavailable):
        gateway.contacts_of("guide01")
    assert waited.seconds < 6.5


def test_nobody_listening_is_unavailable(wecom, tokens):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = WeComSettings(url, "ww01", 1, SECRET, "t", "k")
    with pytest.raises(errors.WeComUnavailable):
        Gateway(away, tokens=tokens, limiter=None, clock=Clock()).follow_users()


def test_an_errcode_written_as_a_text_counts_as_the_number(platform, gateway):
    platform.on("externalcontact/mark_tag", lambda h: h.answer(b'{"errcode": "84061"}'))
    with pytest.raises(errors.FollowEnded):
        gateway.mark_tag("u", "w", ["et1"])
    platform.on("externalcontact/mark_tag", lambda h: h.answer(b'{"errcode": "0"}'))
    gateway.mark_tag("u", "w", ["et1"])


def test_broken_letters_in_a_nickname_leave_the_page_readable(platform, gateway):
    reply = b'{"errcode": 0, "external_contact": {"name": "a\x01\\u0000\\ud83d\xff"}}'
    platform.on("externalcontact/get", lambda h: h.answer(reply))
    name = gateway.contact("w").name
    name.encode()
    assert "\0" not in name
    assert name.startswith("a")


def test_a_dead_token_is_renewed_once_and_the_call_repeated_once(platform, gateway):
    for errcode in (40014, 42001):
        platform.dead_errcode = errcode
        gateway.follow_users()
        platform.kill_tokens()
        before = len(platform.asked)
        assert gateway.follow_users() == []
        apis = [one.api for one in platform.asked[before:]]
        assert apis == [
            "externalcontact/get_follow_user_list",
            "gettoken",
            "externalcontact/get_follow_user_list",
        ]


@pytest.mark.parametrize("errcode", [40014, 42001])
def test_a_token_refused_for_ever_ends_after_one_renewal_and_one_repeat(errcode, platform, gateway):
    platform.on("user/get", lambda h: h.answer_json(errcode=errcode, errmsg="no"))
    with pytest.raises(errors.TokenRejected):
        gateway.user("guide01")
    assert len(platform.calls("user/get")) == 2
    assert len(platform.calls("gettoken")) == 2
    # And however often it is tried, the platform's block for too many gettoken stays far.
    for _ in range(20):
        with pytest.raises(errors.TokenRejected):
            gateway.user("guide01")
    assert len(platform.calls("gettoken")) <= 6


def test_a_wrong_secret_is_not_tried_over_and_over(platform, gateway):
    platform.on("gettoken", lambda h: h.answer_json(errcode=40001, errmsg=f"bad {SECRET}"))
    for _ in range(20):
        with pytest.raises(errors.NotConfigured) as caught:
            gateway.user("guide01")
        assert SECRET not in str(caught.value)
    assert len(platform.calls("gettoken")) <= 6
    assert platform.calls("user/get") == []


def test_fifty_threads_on_a_dead_token_fetch_at_most_twice(platform, wecom, sessions):
    # Two stores stand for two processes: they share only the database.
    gateways = [
        Gateway(
            wecom, tokens=TokenStore(sessions, "key"), limiter=None, clock=Clock(), pool_size=50
        )
        for _ in range(2)
    ]
    for gateway in gateways:
        gateway.follow_users()
    assert len(platform.calls("gettoken")) == 1
    platform.kill_tokens()
    start = threading.Barrier(50)

    def one(number: int) -> list[str]:
        start.wait(10)
        return gateways[number % 2].follow_users()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(one, range(50))) == [[]] * 50
    assert len(platform.calls("gettoken")) <= 1 + 2


def test_fifty_threads_without_a_token_fetch_at_most_twice(platform, wecom, sessions):
    store = TokenStore(sessions, "key")
    gateway = Gateway(wecom, tokens=store, limiter=None, clock=Clock(), pool_size=50)
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: gateway.follow_users(), range(50)))
    assert len(platform.calls("gettoken")) <= 2


def everything_of(error: BaseException | None) -> str:
    """All an error reporter would see: the texts of an exception and of all it hangs on to."""
    seen, texts = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts += [repr(error), str(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


LEAKS = ["hangs", "502", "reset", "garbage", "html", "cut short", "redirect", "slow drip"]


@pytest.mark.parametrize("name", LEAKS)
def test_no_exception_and_no_log_line_holds_a_secret_or_an_address(name, platform, gateway, caplog):
    caplog.set_level(logging.DEBUG)
    for logger in ("urllib3", "urllib3.connectionpool", "requests", "wechatpy"):
        caplog.set_level(logging.DEBUG, logger=logger)
    platform.on("message/send", FAULTS[name])
    with pytest.raises(errors.WeComError) as caught:
        gateway.call("message/send", b"{}", timeout=SHORT)
    said = everything_of(caught.value) + caplog.text
    assert "CANARY" not in said
    assert platform.url not in said
    # The token itself went over the wire, so the canary was there to be leaked.
    assert "CANARY" in platform.asked[-1].query["access_token"]


def test_a_failing_gettoken_does_not_show_the_secret(platform, gateway, caplog):
    caplog.set_level(logging.DEBUG)
    platform.on("gettoken", FAULTS["reset"])
    with pytest.raises(errors.WeComUnavailable) as caught:
        gateway.follow_users()
    assert "CANARY" not in everything_of(caught.value) + caplog.text
    assert platform.calls("gettoken")[0].query["corpsecret"] == SECRET


def test_a_text_of_the_platform_that_repeats_a_secret_is_not_passed_on(platform, gateway, caplog):
    token = gateway.token().value
    for secret in (token, SECRET):
        message = f"bad {secret}, hint: [1], from ip: 1.2.3.4, more info at https://x"
        platform.on("user/get", lambda h, m=message: h.answer_json(errcode=60111, errmsg=m))
        with pytest.raises(errors.UnknownPerson) as caught:
            gateway.user("guide01")
        assert "CANARY" not in everything_of(caught.value) + caplog.text
    plain = "userid not found, hint: [1_2], from ip: 1.2.3.4, more info at https://x"
    platform.on("user/get", lambda h: h.answer_json(errcode=60111, errmsg=plain))
    with pytest.raises(errors.UnknownPerson) as caught:
        gateway.user("guide01")
    assert caught.value.reason == "userid not found"


def test_objects_that_hold_secrets_do_not_show_them(gateway):
    shown = repr(gateway.sdk) + repr(gateway.wecom) + repr(gateway.token())
    assert "CANARY" not in shown
    assert SECRET[:10] not in gateway.sdk.access_token_key


def test_the_environment_cannot_send_calls_through_a_proxy(platform, gateway, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert gateway.follow_users() == []


def test_wechatpys_own_helpers_take_the_same_path(platform, gateway):
    platform.on("user/get", lambda h: h.answer_json(userid="guide01", name="小王"))
    gateway.follow_users()
    platform.kill_tokens()
    assert gateway.sdk.user.get("guide01")["name"] == "小王"
    assert platform.calls("user/get")[-1].query["userid"] == "guide01"
    platform.on("user/get", lambda h: h.answer_json(errcode=60111))
    with pytest.raises(errors.UnknownPerson):
        gateway.sdk.user.get("guide01")
    with pytest.raises(TypeError, match="outside the configured base"):
        gateway.sdk.get("https://qyapi.weixin.qq.com/cgi-bin/user/get")
    with pytest.raises(TypeError, match="gateway's own"):
        gateway.sdk.media.upload("image", b"x" * 100)


def test_connections_are_kept_and_used_again(platform, gateway):
    ports = set()

    def note(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        handler.answer_json()

    platform.on("user/get", note)
    for _ in range(10):
        gateway.user("guide01")
    assert len(ports) == 1


def test_the_standard_library_still_reads_answers_through_a_socket_file():
    # wire.py replaces what http.client reads from; this holds as long as it asks for makefile.
    assert "makefile" in http.client.HTTPResponse.__init__.__code__.co_names
