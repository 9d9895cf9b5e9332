"""Kinds of calls (发件种类): how each is retried and what follows, in one table."""

from __future__ import annotations

from bot.crm import channels
from content_library import kf_answers, welcome_sends
from handlers import contact_ways, posting
from handlers.verdicts import Kind, RetryClass
from sop import digests, mass_sends, posting_sends, send_results
from tagging import corp_tags, marks

A, B, C = RetryClass.IDEMPOTENT, RetryClass.PLATFORM_DEDUPED, RetryClass.RECONCILE_FIRST

# Numbers that say the person cannot be written to: gone, or outside the app's visible range.
_NOBODY = frozenset({40003, 46004, 60011, 60111, 81013})

# The numbers are those of developer.work.weixin.qq.com/document/path/90313: 41051 a welcome was
# delivered, 60140 the response_code is used up, 40071 the tag exists, 95016 the conversation
# cannot move there (any more), 95018 the code of a kf event is used up. For a msgid that is used
# already no number is documented; 40058 (a wrong parameter) is what remains.
DELIVERIES: dict[str, Kind] = {
    # The code is single-use: "already delivered" after a try that went silent was that try.
    "welcome": Kind(
        B,
        done_on=frozenset({41051}),
        after=welcome_sends.welcome_sent,
        dead=welcome_sends.welcome_failed,
    ),
    # message/send with duplicate check: the same bytes within the window are one message.
    "app_message": Kind(B),
    # To somebody who is no guide of ours, and whom the app may not be allowed to write to.
    "stranger_reply": Kind(B, moot_on=_NOBODY),
    "alert": Kind(B),
    "digest": Kind(B, after=digests.sent),
    "card_update": Kind(A, done_on=frozenset({60140})),
    "mark_tag": Kind(A, after=marks.marked, dead=marks.mark_failed),
    "contact_way_create": Kind(
        C,
        after=channels.created,
        dead=channels.push_failed,
        reconcile=contact_ways.reconcile_created,
    ),
    "contact_way_update": Kind(A, after=channels.updated, dead=channels.push_failed),
    "corp_tag_create": Kind(
        C,
        exists_on=frozenset({40071}),
        after=corp_tags.tag_created,
        dead=corp_tags.tag_failed,
        reconcile=corp_tags.reconcile,
    ),
    # What asks a guide to send or publish must not be asked twice.
    "mass_message": Kind(
        C,
        moot_on=frozenset({41048}),
        after=mass_sends.created,
        dead=mass_sends.failed,
        reconcile=posting.reconcile_mass,
    ),
    "mass_cancel": Kind(A, moot_on=frozenset({41047, 41093})),
    "group_message": Kind(
        C,
        after=posting_sends.group_created,
        dead=posting_sends.group_failed,
        reconcile=posting.reconcile_group,
    ),
    "moment": Kind(
        C,
        after=posting_sends.moment_created,
        dead=posting_sends.failed,
        reconcile=posting.reconcile_moment,
    ),
    # The gateway takes a message_id once, however often it comes. A number that does not exist and
    # a customer who refuses are no dead letters: nobody has to look at them.
    "sms": Kind(
        A,
        carrier="sms",
        moot_on=send_results.REFUSALS["sms"] | send_results.MISSES["sms"],
        after=send_results.sent,
        dead=send_results.failed,
    ),
    # Nothing makes two of these one, and nobody can ask: what is not known a person looks at.
    "template_message": Kind(
        C,
        carrier="official_account",
        moot_on=send_results.REFUSALS["template_message"] | send_results.MISSES["template_message"],
        after=send_results.sent,
        dead=send_results.failed,
    ),
    # A msgid of our own, unique per account, makes a repeated message the same message.
    "kf_reply": Kind(
        B,
        done_on=frozenset({40058}),
        after=kf_answers.kf_replied,
        dead=kf_answers.kf_refused,
    ),
    "kf_welcome": Kind(B, done_on=frozenset({40058, 95018}), dead=kf_answers.kf_refused),
    "kf_state": Kind(A, done_on=frozenset({95016}), dead=kf_answers.kf_not_moved),
}
