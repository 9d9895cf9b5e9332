"""Callbacks are opened only when every byte is right, and fail in one way only."""

from __future__ import annotations

import base64
import random
import time

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.work.crypto import WeChatCrypto

from bot.errors import CallbackError
from bot.wecom import callback
from bot.wecom.crypto import CallbackCrypto, CallbackKeys, signature

DOCUMENT = CallbackKeys(
    "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7"
)
ECHO = {
    "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
    "timestamp": "1409659589",
    "nonce": "263014780",
    "echostr": (
        "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
    ),
}
KEYS = CallbackKeys("token", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww0123456789abcdef")
PUBLISHED = (
    "EUCt7xMcNiyASzZj0Hjc5yDjFQrCum6AfQ3ntHiUzjGQ51xieKmbvtrZ40/EcB2W/W8yH0n4Lqx48gJl/T9HD/R3"
    "09I0P/r5pIZucK3lyEn48FYMr4YdE0QdL2jIJ3xkcXUr6uzefzCxG6lMvwpAJaOyVCzN7sRRw47njfxy5EIqU6R9"
    "ZBhlTzfdnhhOhK/nTwzrZX3SoGlXFA9OBeZ6ru1NWpXFk76x9DUMe0lcxPPiUqK8ctnQcYXSGUHVqC6DfG7E7mab"
    "0OmruNN8cBZY5d3dYOBA4OgaH55Q0AJmUpdT8vNiXpXx+6TxT3TIjySXpDrHVyrsb772aYywgg/Nu4kUmGkALwFZ"
    "lzhjNegR7wDwb9lr4ERXsSSS8JZ8lbBmaQ3F2Tq584xoPj5rIhXAF734ynm4no1g+SdHiNqR328="
)
PLAIN = "<xml><ToUserName><![CDATA[ww]]></ToUserName><Content>你好</Content></xml>".encode()


def sealed(content: bytes, *, pad: int | None = None, last: bytes | None = None) -> str:
    """Encrypt raw content as an attacker who knows the key could."""
    key = base64.b64decode(KEYS.aes_key + "=")
    size = pad if pad is not None else 32 - len(content) % 32
    padded = content + (last if last is not None else bytes([size]) * size)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def content(message: bytes, length: int | None = None, receiver: bytes | None = None) -> bytes:
    size = len(message) if length is None else length
    who = KEYS.receive_id.encode() if receiver is None else receiver
    return b"r" * 16 + size.to_bytes(4, "big") + message + who


def posted(encrypted: str) -> tuple[dict[str, str], bytes]:
    query = {
        "msg_signature": signature(KEYS.token, "1700000000", "n", encrypted),
        "timestamp": "1700000000",
        "nonce": "n",
    }
    return query, f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()


def kind_of(encrypted: str) -> str:
    query, body = posted(encrypted)
    with pytest.raises(CallbackError) as caught:
        callback.open_sealed(KEYS, query, body)
    return caught.value.kind


def test_the_sample_of_the_official_document_is_echoed():
    assert callback.verify_echo(DOCUMENT, ECHO) == "1616140317555161061"


def test_a_published_message_of_another_implementation_is_read():
    keys = CallbackKeys(
        "kz7Yx62CH8SaLN", "cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEP", "ww6a112864f8022910"
    )
    query = {
        "msg_signature": "f265ae551b1932727204c3d707628d01376a6940",
        "timestamp": "1583995625",
        "nonce": "1584392382",
    }
    body = f"<xml><Encrypt><![CDATA[{PUBLISHED}]]></Encrypt></xml>".encode()
    message = callback.parse(callback.open_sealed(keys, query, body))
    assert (message.userid, message.text) == ("foobar", "x123")


def test_what_we_seal_wechatpy_opens_and_the_other_way_round():
    theirs = WeChatCrypto(KEYS.token, KEYS.aes_key, KEYS.receive_id)
    for size in (0, 1, 11, 12, 13, 31, 32, 33, 1000):
        plaintext = b"x" * size
        ours = callback.seal(KEYS, plaintext, timestamp=1700000000, nonce="abc", agent_id=7)
        query = ours.query
        opened = theirs.decrypt_message(
            ours.body, query["msg_signature"], query["timestamp"], query["nonce"]
        )
        assert opened.encode() == plaintext
        assert callback.open_sealed(KEYS, query, ours.body) == plaintext
        reply = theirs.encrypt_message("y" * size, "abc", "1700000000")
        assert callback.open_reply(KEYS, reply.encode()) == b"y" * size


def test_our_reply_and_our_echo_are_read_back():
    reply = callback.seal_reply(KEYS, PLAIN, timestamp=1, nonce="n")
    assert callback.open_reply(KEYS, reply) == PLAIN
    query = callback.seal_echo(KEYS, "17", timestamp=1, nonce="n")
    assert callback.verify_echo(KEYS, query) == "17"


def test_paddings_of_one_to_thirty_two_are_read():
    for size in range(32):
        assert callback.open_sealed(KEYS, *posted(sealed(content(b"m" * size)))) == b"m" * size
    # Some senders pad to the cipher's block of 16; that is within 1..32 as well.
    short = content(b"m" * 10)
    encrypted = sealed(short, pad=16 - len(short) % 16)
    assert callback.open_sealed(KEYS, *posted(encrypted)) == b"m" * 10


def test_a_wrong_padding_is_unreadable():
    body = content(b"m" * 10)  # 48 bytes
    assert len(body) % 16 == 0
    assert kind_of(sealed(body, last=b"\0" * 16)) == "unreadable"
    assert kind_of(sealed(body, last=b"4" * 16)) == "unreadable"
    assert kind_of(sealed(body, last=b"\x01" * 15 + b"\x10")) == "unreadable"
    assert kind_of(sealed(body, last=b"\x21" * 48)) == "unreadable"


def test_a_wrong_inner_length_is_unreadable():
    for length in (0, 9, 11, 29, 1 << 31, 0xFFFFFFFF):
        assert kind_of(sealed(content(b"m" * 10, length=length))) == "unreadable"
    assert kind_of(sealed(b"short")) == "unreadable"


def test_with_an_empty_receiver_an_oversized_length_takes_nothing_along():
    keys = CallbackKeys(KEYS.token, KEYS.aes_key, "")
    query, body = posted(sealed(content(b"m" * 10, length=500, receiver=b"")))
    with pytest.raises(CallbackError, match="unreadable"):
        callback.open_sealed(keys, query, body)


def test_a_message_for_another_corp_is_unreadable():
    assert kind_of(sealed(content(b"m", receiver=b"ww0123456789abcdeX"))) == "unreadable"
    assert kind_of(sealed(content(b"m", receiver=b""))) == "unreadable"
    assert kind_of(sealed(content(b"m", receiver=b"\xff\xfe"))) == "unreadable"


def test_base64_must_be_strict_for_the_message():
    good = sealed(content(PLAIN))
    for bad in (good[:10] + "@@" + good[10:], good + "\n", good + "====", good[:-1], "", "A"):
        query = {
            "msg_signature": signature(KEYS.token, "1", "n", bad),
            "timestamp": "1",
            "nonce": "n",
            "echostr": bad,
        }
        with pytest.raises(CallbackError) as caught:
            callback.verify_echo(KEYS, query)
        assert caught.value.kind == "unreadable", bad


def test_a_key_with_loose_last_bits_is_taken_and_one_of_a_wrong_length_is_refused():
    assert KEYS.aes_key.endswith("G")  # its last bits are not zero; strict decoders refuse it
    assert len(CallbackCrypto(KEYS).key) == 32
    for bad in ("", "a" * 42, "a" * 44, "密" * 43, "a" * 42 + "!"):
        with pytest.raises(CallbackError):
            CallbackCrypto(CallbackKeys("t", bad, "ww"))


def test_a_changed_signature_or_a_misshapen_query_is_a_bad_signature():
    query, body = posted(sealed(content(PLAIN)))
    changed = [
        {**query, "msg_signature": "0" * 40},
        {**query, "msg_signature": query["msg_signature"].upper()},
        {**query, "msg_signature": "签" * 40},
        {**query, "timestamp": "1700000001"},
        {**query, "timestamp": "17000000001"},
        {**query, "timestamp": "٣"},
        {**query, "timestamp": " 1700000000"},
        {**query, "nonce": "m"},
        {**query, "nonce": "n\n"},
        {**query, "nonce": ""},
        {**query, "nonce": "n" * 500},
        {},
    ]
    for one in changed:
        with pytest.raises(CallbackError) as caught:
            callback.open_sealed(KEYS, one, body)
        assert caught.value.kind == "bad_signature", one


def test_the_inherited_methods_are_as_strict_as_ours():
    crypto = CallbackCrypto(KEYS)
    encrypted = sealed(content(PLAIN))
    query, _ = posted(encrypted)
    values = (query["msg_signature"], query["timestamp"], query["nonce"])
    assert crypto.decrypt_message({"Encrypt": encrypted}, *values) == PLAIN
    with pytest.raises(CallbackError, match="bad_body"):
        crypto.decrypt_message("<xml></xml>", *values)
    with pytest.raises(CallbackError, match="bad_signature"):
        crypto.check_signature("0" * 40, "1", "n", encrypted)
    with pytest.raises(TypeError):
        crypto.encrypt_message("x", "n")


HOSTILE = {
    "nothing": b"",
    "not xml": b"hello",
    "json": b'{"encrypt": "x"}',
    "no encrypt": b"<xml><A>1</A></xml>",
    "two": b"<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>",
    "nested": b"<xml><Encrypt><b>a</b></Encrypt></xml>",
    "latin": b'<?xml version="1.0" encoding="latin-1"?><xml><Encrypt>\xff</Encrypt></xml>',
    "utf-16": "<xml><Encrypt>a</Encrypt></xml>".encode("utf-16"),
    "doctype": b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><Encrypt>&a;</Encrypt></xml>',
    "late doctype": b"<xml><Encrypt>a</Encrypt><!DOCTYPE x></xml>",
    "outside entity": (
        b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><xml><Encrypt/></xml>'
    ),
    "broken": b"<xml><Encrypt>a</Encrypt>",
    "null": b"<xml><Encrypt>a\0</Encrypt></xml>",
    "deep": b"<xml>" + b"<a>" * 9000 + b"</a>" * 9000 + b"</xml>",
    "many": b"<xml>" + b"<a/>" * 12000 + b"</xml>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_envelope_is_a_bad_body_and_costs_little(name):
    started = time.perf_counter()
    query, _ = posted("x")
    with pytest.raises(CallbackError) as caught:
        callback.open_sealed(KEYS, query, HOSTILE[name])
    assert caught.value.kind == "bad_body"
    assert time.perf_counter() - started < 0.25


def test_a_body_over_the_limit_is_refused_before_it_is_parsed():
    body = b"<xml>" + b"<a>" * 30_000_000
    started = time.perf_counter()
    with pytest.raises(CallbackError) as caught:
        callback.open_sealed(KEYS, {}, body)
    assert caught.value.kind == "too_large"
    assert time.perf_counter() - started < 0.05
    query = {**posted("x")[0], "echostr": "A" * 5000}
    with pytest.raises(CallbackError, match="too_large"):
        callback.verify_echo(KEYS, query)


def test_a_body_of_exactly_the_limit_is_read():
    good = callback.seal(KEYS, PLAIN, timestamp=1, nonce="n")
    body = good.body.replace(b"</xml>", b"<!--" + b" " * 70000)
    body = body[: callback.BODY_LIMIT - 9] + b"--></xml>"
    assert len(body) == callback.BODY_LIMIT
    assert callback.open_sealed(KEYS, good.query, body) == PLAIN


def test_three_thousand_mutations_end_in_one_error_or_in_the_message():
    dice = random.Random(7)
    good = callback.seal(KEYS, PLAIN, timestamp=1700000000, nonce="abc")
    slowest, kinds = 0.0, set()
    for _ in range(3000):
        query, body = dict(good.query), bytearray(good.body)
        for _ in range(dice.randint(1, 4)):
            match dice.randint(0, 4):
                case 0:
                    body[dice.randrange(len(body))] = dice.randrange(256)
                case 1:
                    at = dice.randrange(len(body))
                    del body[at : at + dice.randint(1, 9)]
                case 2:
                    name = dice.choice(list(query))
                    query[name] = "".join(chr(dice.choice([0, 10, 65, 0xD800, 0x1F600])) * 3)
                case 3:
                    at = dice.randrange(len(body))
                    body[at:at] = dice.choice([b"<", b"]]>", b"&#0;", b"\0", b"<Encrypt>", b"%"])
                case _:
                    query.pop(dice.choice(list(query)), None)
                    query.setdefault("nonce", "1")
        started = time.thread_time()
        try:
            assert callback.open_sealed(KEYS, query, bytes(body)) == PLAIN
        except CallbackError as error:
            kinds.add(error.kind)
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < 0.25
    assert kinds == {"bad_signature", "bad_body"}


def test_two_thousand_rightly_signed_random_plaintexts_end_in_one_error_or_an_event():
    dice = random.Random(11)
    pieces = [
        b"<xml>", b"</xml>", b"<MsgType>", b"event", b"</MsgType>", b"<CreateTime>", b"1700000000",
        b"</CreateTime>", b"<Event>", b"</Event>", b"text", b"template_card_event", b"&#1;",
        b"<SelectedItems>", b"</SelectedItems>", b"\xff", "好".encode(), b"]]>", b"<![CDATA[",
    ]  # fmt: skip
    kinds = set()
    for _ in range(2000):
        plaintext = b"".join(dice.choices(pieces, k=dice.randint(0, 25)))
        posting = callback.seal(KEYS, plaintext, timestamp=1, nonce="n")
        opened = callback.open_sealed(KEYS, posting.query, posting.body)
        assert opened == plaintext
        callback.is_urgent(opened)
        try:
            callback.parse(opened)
        except CallbackError as error:
            kinds.add(error.kind)
    assert kinds == {"unreadable"}


def test_the_key_of_an_event_knows_the_corp_and_the_content_only():
    first = callback.seal(KEYS, PLAIN, timestamp=1, nonce="a")
    again = callback.seal(KEYS, PLAIN, timestamp=2, nonce="b")
    assert first.body != again.body
    keys = {
        callback.event_key("ww1", callback.open_sealed(KEYS, one.query, one.body))
        for one in (first, again)
    }
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert callback.event_key("ww1", PLAIN) != callback.event_key("ww2", PLAIN)
    assert callback.event_key("ww1", PLAIN) != callback.event_key("ww1", PLAIN + b" ")


def test_keys_do_not_show_themselves():
    assert "token'" not in repr(KEYS)
    assert KEYS.aes_key not in repr(KEYS)
    assert KEYS.receive_id in repr(KEYS)
