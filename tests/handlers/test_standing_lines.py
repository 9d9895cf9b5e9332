"""What stands open with a customer is said in the words that HQ reads too."""

from __future__ import annotations

from datetime import timedelta

from bot.crm import opt_outs
from handlers import standing_lines
from sop.anchors import RISK_LABELS
from tagging.models import ChurnRisk
from tests.factories import TODAY, Make


def test_a_warning_is_told_in_the_words_of_its_trigger(session):
    make = Make(session)
    make.brand()
    for risk in ChurnRisk:
        contact = make.contact(make.guide())
        make.score(contact, risk=risk.value, at_risk_since=TODAY - timedelta(days=1))
        told = dict(standing_lines.read(session, contact.id, TODAY))
        assert told["流失预警"] == RISK_LABELS[risk]


def test_every_channel_that_can_be_refused_has_one_word():
    assert opt_outs.LABELS.keys() == set(opt_outs.OptOutChannel)
