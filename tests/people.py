"""The hands and eyes of one person in a world: a customer (客户), or a guide (导购)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from bot.crm.models import Contact
from bot.sandbox import actors, guide_actors, kf_actors, till
from bot.sandbox.town import Effect

if TYPE_CHECKING:
    from tests.world import World

KFID = "wkXingHe"


class Customer:
    """A customer's hands."""

    def __init__(self, world: World, external_userid: str, name: str) -> None:
        self._world = world
        self.id = external_userid
        self.name = name

    def scans(self, state: str, *, userid: str = "", confirmed: bool = True) -> None:
        """Scans a code; the guide confirms at once unless told otherwise."""
        town = self._world.town
        found = actors.scan(town, self.id, state=state, userid=userid)
        if confirmed and found["stage"] != "friend":
            actors.accept(town, found["userid"], self.id)

    def adds(self, userid: str = "wangfang") -> None:
        """Adds a guide without any code, and she confirms."""
        actors.add_directly(self._world.town, userid, self.id)
        actors.accept(self._world.town, userid, self.id)

    def deletes(self, userid: str = "wangfang") -> None:
        """Deletes a guide."""
        actors.customer_deletes_guide(self._world.town, self.id, userid)

    def buys(self, category: str = "对戒", amount_fen: int = 1_280_000, **given: Any) -> str:
        """Buys one thing in 南京路店; returns the order number. The till reports it."""
        name = given.pop("name", f"星芒{category}")
        line = {"sku": f"K{amount_fen}", "name": name, "category": category}
        return till.buy(
            self._world.town,
            self.id,
            [{**line, "amount_fen": amount_fen}],
            **{"store": "SH001", "who": "external_userid"} | given,
        )

    def refunds(self, order_no: str, amount_fen: int) -> None:
        """Brings something back."""
        till.refund(self._world.town, self.id, order_no, amount_fen, who="external_userid")

    def joins(self, **facts: Any) -> None:
        """Gets or changes a member card."""
        till.enroll(self._world.town, self.id, **facts)

    def writes_kf(self, text: str) -> None:
        """Writes to the brand's 客服."""
        kf_actors.write(self._world.town, self.id, KFID, text)

    def reads_kf(self) -> list[str]:
        """What the 客服 answered, in order."""
        found = self._world.effects("kf_message", self.id)
        return [_kf_text(one.payload["content"]) for one in found]

    def welcomes(self) -> list[Effect]:
        """The welcomes that reached this customer."""
        return self._world.effects("welcome_sent", self.id)

    def row(self) -> Contact:
        """This customer in the book."""
        wanted = select(Contact).where(Contact.external_userid == self.id)
        return self._world.scalars(wanted)[0]


class GuideActor:
    """A guide's hands and eyes."""

    def __init__(self, world: World, userid: str) -> None:
        self._world = world
        self.userid = userid

    def writes(self, text: str) -> str:
        """Writes to the app; returns what she reads in answer."""
        before = len(self.messages())
        guide_actors.write_to_app(self._world.town, self.userid, text)
        answers = self.messages()[before:]
        assert len(answers) == 1, answers
        return str(answers[0].payload["content"]["content"])

    def clicks(self, key: str) -> None:
        """Presses a button of the newest card that has it."""
        for one in reversed(self.messages()):
            if one.payload["msgtype"] == "template_card" and key in json.dumps(one.payload):
                guide_actors.click_card(self._world.town, self.userid, one.payload["msgid"], key)
                return
        raise AssertionError(f"no card with {key}")

    def deletes(self, customer: Customer) -> None:
        """Deletes a customer."""
        actors.guide_deletes_customer(self._world.town, self.userid, customer.id)

    def messages(self) -> list[Effect]:
        """Everything the app sent her."""
        return self._world.effects("app_message", self.userid)

    def texts(self) -> list[str]:
        """The text messages among them."""
        found = [one.payload for one in self.messages()]
        return [one["content"]["content"] for one in found if one["msgtype"] == "text"]

    def cards(self) -> list[dict[str, Any]]:
        """The cards among them."""
        found = [one.payload for one in self.messages()]
        return [one["content"] for one in found if one["msgtype"] == "template_card"]


def _kf_text(content: Any) -> str:
    return str(content.get("content") or content.get("head_content") or content)
