"""What the published SOPs send and HQ has not filled in yet (发布前要填的), for the doctor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.crm import brand
from content_library.channel_templates import Channel
from content_library.models import ChannelTemplate, TalkingPointVariant
from handlers.brand_pack import starter
from sop.models import Sop, SopStep, SopVersion, VersionState

#: (what was found, the next step)
Need = tuple[str, str]

_SURVEY = "{问卷链接}"
_LABELS = {Channel.SMS: "短信", Channel.TEMPLATE_MESSAGE: "公众号"}
_NEXT = {
    Channel.SMS: "在品牌包的 sms_templates 里补上模板，再发布一次",
    Channel.TEMPLATE_MESSAGE: "在品牌包的 wechat_templates 里补上模板，再发布一次",
}


def missing(session: Session, *, may_be_samples: bool) -> list[Need]:
    """What is missing, the first of its sort named; `may_be_samples`: carriers are pretended, so
    the signature and codes of the starter pack will do."""
    steps = _published(session)
    templates = {
        one.id: one
        for one in session.scalars(
            select(ChannelTemplate).where(
                ChannelTemplate.id.in_({id_ for one in steps for id_ in one.template_ids.values()})
            )
        )
    }
    found = _survey(session, steps, templates)
    for channel in Channel:
        found += _gone(steps, templates, channel)
        if not may_be_samples:
            found += _unfilled(list(templates.values()), channel)
    return found


def _published(session: Session) -> Sequence[Any]:
    rows = session.execute(
        select(SopStep.title, SopStep.template_ids, SopStep.talking_point_id, Sop.name)
        .join(SopVersion, SopVersion.id == SopStep.version_id)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.state == VersionState.PUBLISHED)
        .order_by(Sop.name, SopStep.position)
    )
    return rows.all()


def _survey(
    session: Session, steps: Sequence[Any], templates: dict[int, ChannelTemplate]
) -> list[Need]:
    if brand.settings(session).survey_url:
        return []
    by_template = {id_ for id_, one in templates.items() if _asks_survey(one)}
    by_words = set(
        session.scalars(
            select(TalkingPointVariant.talking_point_id).where(
                func.replace(TalkingPointVariant.text, " ", "").contains(_SURVEY, autoescape=True)
            )
        )
    )
    asking = [
        one
        for one in steps
        if one.talking_point_id in by_words or by_template & set(one.template_ids.values())
    ]
    if not asking:
        return []
    said = f"SOP「{asking[0].name}」要发问卷，还没有填问卷的网址"
    return [(said, "在品牌包的 settings 里填 survey_url")]


def _asks_survey(one: ChannelTemplate) -> bool:
    worded = [one.text, one.url or "", *map(str, one.data.values())]
    return any(_SURVEY in words.replace(" ", "") for words in worded)


def _gone(
    steps: Sequence[Any], templates: dict[int, ChannelTemplate], channel: Channel
) -> list[Need]:
    lost = [
        one
        for one in steps
        if channel in one.template_ids and not _is_there(templates, one.template_ids[channel])
    ]
    if not lost:
        return []
    first = f"SOP「{lost[0].name}」的「{lost[0].title}」"
    return [(f"{first}用的{_LABELS[channel]}模板没有了或已停用", _NEXT[channel])]


def _is_there(templates: dict[int, ChannelTemplate], id_: int) -> bool:
    one = templates.get(id_)
    return one is not None and one.is_active


def _unfilled(templates: Sequence[ChannelTemplate], channel: Channel) -> list[Need]:
    label = _LABELS[channel]
    used = sorted(
        (one for one in templates if one.channel == channel and one.is_active),
        key=lambda one: one.name,
    )
    samples = starter.channel_samples()
    found: list[Need] = []

    def note(is_wrong: Callable[[ChannelTemplate], bool], what: str, advice: str) -> None:
        wrong = [one for one in used if is_wrong(one)]
        if wrong:
            more = f"等 {len(wrong)} 个" if len(wrong) > 1 else ""
            found.append((f"{label}模板「{wrong[0].name}」{more}{what}", advice))

    if channel == Channel.SMS:
        note(
            lambda one: not one.signature or one.signature in samples.signatures,
            "还没有填短信签名",
            "把 signature 换成服务商审核通过的短信签名，再加载品牌包",
        )
    note(
        lambda one: not one.code.strip() or one.code in samples.codes,
        "的 code 还是起步包里的示例",
        f"把 code 换成{label}后台审核通过的模板编号，再加载品牌包",
    )
    return found
