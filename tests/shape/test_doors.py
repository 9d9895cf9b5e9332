"""Every address is behind a guard, or on the list of those that must not be."""

from __future__ import annotations

import re

import pytest
import requests

from tests.world import World, world

__all__ = ["world"]

#: Who may be asked by anybody, and why.
PUBLIC = {
    "callback.check_address": "WeCom signs",
    "callback.receive": "WeCom signs",
    "api.receive_events": "the sender signs",
    "health.index": "only leads on",
    "health.healthz": "says ok",
    "health.readyz": "says yes or no",
    "health.metrics": "answers this machine only",
}
#: Pages before signing in, behind the guards' own OPEN lists.
BEFORE_SIGN_IN = ("console.static", "console.sign_in.", "h5.static", "h5.sign_in.")


def _guarded(world: World) -> list[tuple[str, str]]:
    found = []
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint not in PUBLIC and not rule.endpoint.startswith(BEFORE_SIGN_IN):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                address = rule.rule
                for name in rule.arguments:
                    kind = type(rule._converters[name]).__name__
                    text = "1" if kind == "IntegerConverter" else "x"
                    for before in (f"<int:{name}>", f"<path:{name}>", f"<{name}>"):
                        address = address.replace(before, text)
                found.append((method, address))
    return found


def test_nobody_gets_in_unsigned(world: World) -> None:
    rooms = _guarded(world)
    assert len(rooms) >= 10
    for method, address in rooms:
        answer = requests.request(method, world.url + address, allow_redirects=False, timeout=10)
        assert answer.status_code in (302, 303, 401, 403), (method, address, answer.status_code)
        if answer.is_redirect:
            assert re.search("sign|login|oauth", answer.headers["Location"]), (method, address)


def test_the_public_list_names_only_what_exists(world: World) -> None:
    known = {rule.endpoint for rule in world.app.url_map.iter_rules()}
    assert set(PUBLIC) <= known


@pytest.mark.parametrize("path", ["/wecom/callback", "/api/v1/events", "/api/v1/sms"])
def test_what_must_be_signed_refuses_what_is_not(world: World, path: str) -> None:
    answer = requests.post(world.url + path, data=b"<xml></xml>", timeout=10)
    assert answer.status_code in (400, 401, 403)


def test_only_sandbox_mode_has_a_sandbox(world: World) -> None:
    assert requests.get(world.url + "/sandbox/", timeout=10).status_code == 200
    assert not [rule for rule in world.app.url_map.iter_rules() if "sandbox" in rule.rule]
