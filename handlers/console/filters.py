"""Filters of a list by store and SOP (筛选): read from the address, so that they stay in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import request
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from bot.crm.models import Store
from sop.models import Sop


@dataclass(frozen=True)
class Filters:
    """What may be chosen (id → name), what is chosen, and both as the address says them."""

    stores: dict[int, str]
    sops: dict[int, str]
    store_id: int | None
    sop_id: int | None
    #: To be given on to `url_for`.
    kept: dict[str, int] = field(default_factory=dict)


def read(session: Session) -> Filters:
    """The filters of this request, in two statements; what does not exist is not chosen."""
    stores = _named(session, select(Store.id, Store.name).order_by(Store.name, Store.id))
    sops = _named(session, select(Sop.id, Sop.name).order_by(Sop.name))
    store_id, sop_id = _chosen("store", stores), _chosen("sop", sops)
    given = {"store": store_id, "sop": sop_id}
    kept = {key: value for key, value in given.items() if value is not None}
    return Filters(stores, sops, store_id, sop_id, kept)


def _named(session: Session, query: Select[int, str]) -> dict[int, str]:
    return {row[0]: row[1] for row in session.execute(query)}


def _chosen(name: str, known: dict[int, str]) -> int | None:
    said = request.args.get(name, type=int)
    return said if said in known else None
