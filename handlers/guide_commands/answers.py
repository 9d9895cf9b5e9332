"""The answer to each command, short and ready to read on a phone.

Everything that changes a task ends in `sop.tasks`, the same functions the cards and pages use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from bot.errors import UserError
from bot.wecom.messages import APP_TEXT_LIMIT
from content_library import facts, keyword_replies, placeholders, talking_points, words
from handlers import standing_lines
from handlers.guide_commands import (
    customers,
    days_off,
    lead_answers,
    parsing,
    refusals,
    store_visits,
    week,
)
from handlers.guide_commands.asker import MOST_HITS, Asker, nobody, several
from handlers.guide_commands.days import parse_day
from handlers.guide_commands.parsing import FORMS, Command, Verb
from sop import postings, step_kinds, tasks
from sop.models import TaskState
from sop.tasks import TaskView

_WEEKDAYS = "一二三四五六日"
# Room for the last line, in bytes.
_LAST_LINE = 120


def answer(session: Session, asker: Asker, text: str) -> str:
    """What to say to `text`. A command first, then HQ's keywords, then help; never nothing.

    Raises UserError where a person must change something; then nothing was changed.
    """
    command = parsing.parse(text)
    if command is not None:
        return _ANSWERS[command.verb](session, asker, command)
    reply = keyword_replies.match(session, text)
    if reply is not None:
        known = placeholders.guide_only_facts(session, asker.guide.id, asker.day)
        return placeholders.fill(reply.reply, known)
    return _not_understood(text)


def help_text() -> str:
    """All commands, one line each."""
    lines = [f"{form.example}　{form.meaning}" for form in FORMS if form.verb is not Verb.HELP]
    return "您可以这样写给我：\n" + "\n".join(lines)


def _not_understood(text: str) -> str:
    form = parsing.nearest(text)
    said = words.plain(text, 20)
    guess = (
        f"您是想写「{form.example}」吗？" if form else "写「今日」看待办，写「话术 求婚」找话术。"
    )
    return f"没看懂「{said}」。{guess}\n写「帮助」看全部口令。"


def _today(session: Session, asker: Asker, command: Command) -> str:
    views = tasks.today(session, asker.guide.id, asker.day, asker.now)
    waiting = [view for view in views if view.state == TaskState.OPEN]
    to_send = "".join(
        f"\n{line}" for line in postings.lines_for(session, asker.guide.id, asker.day)
    )
    if not views:
        return to_send.strip() or "今天没有安排待办，可以挑一位老客户问候一声。"
    if not waiting:
        return f"今天的 {len(views)} 项都处理好了，辛苦了！{to_send}"
    tasks.mark_shown(session, asker.guide.id, asker.day, asker.now)
    head = f"今日还有 {len(waiting)} 项"
    foot = f'做完写「完成 {waiting[0].number}」，想看话术点<a href="{asker.h5_url}">打开清单</a>'
    return _fitting(head, [_task_line(view) for view in waiting], f"{foot}{to_send}")


def _task_line(view: TaskView) -> str:
    why = words.plain(view.why_line, 60)
    title = step_kinds.headline(view.kind, words.plain(view.title))
    line = f"{view.number}. {words.plain(view.contact_name)} · {title}"
    return f"{line}\n　{why}" if why else line


def _complete(session: Session, asker: Asker, command: Command) -> str:
    chosen = _chosen(session, asker, command, "完成 2")
    note = command.rest or None
    for view in chosen:
        tasks.complete(session, view.id, asker.guide.id, asker.now, note=note)
    return f"记下了，{_named(chosen)}已完成。{_left(session, asker)}"


def _skip(session: Session, asker: Asker, command: Command) -> str:
    chosen = _chosen(session, asker, command, "跳过 2 客户出国了")
    reason = command.rest or "没有写原因"
    for view in chosen:
        tasks.skip(session, view.id, asker.guide.id, asker.now, reason)
    return f"好的，{_named(chosen)}这次跳过。{_left(session, asker)}"


def _move(session: Session, asker: Asker, command: Command) -> str:
    chosen = _chosen(session, asker, command, "改期 2 周五")
    if not command.rest:
        raise UserError(f"想改到哪天？例如「改期 {chosen[0].number} 周五」。")
    to_day = parse_day(command.rest, asker.day)
    if to_day is None:
        said = words.plain(command.rest, 12)
        raise UserError(f"没看懂日期「{said}」，可以写 明天、周五、3天后 或 12月3日。")
    for view in chosen:
        tasks.move(session, view.id, asker.guide.id, asker.now, to_day)
    weekday = _WEEKDAYS[to_day.weekday()]
    when = f"{facts.spoken_day(to_day, asker.day)}（周{weekday}）"
    return f"好的，{_named(chosen)}改到{when}。"


def _chosen(session: Session, asker: Asker, command: Command, example: str) -> Sequence[TaskView]:
    """The tasks of today that the command numbers; all of them exist, or nothing is done."""
    views = tasks.today(session, asker.guide.id, asker.day, asker.now)
    by_number = {view.number: view for view in views}
    if not command.numbers:
        if len(views) == 1:
            return views
        raise UserError(f"请写上第几项，例如「{example}」。写「今日」看编号。")
    missing = [str(n) for n in command.numbers if n not in by_number]
    if missing:
        many = f"只有 {len(views)} 项" if views else "没有待办"
        raise UserError(f"没有第 {'、'.join(missing)} 项，今天{many}。写「今日」看编号。")
    return [by_number[n] for n in command.numbers]


def _named(chosen: Sequence[TaskView]) -> str:
    return "、".join(
        f"第 {view.number} 项（{words.plain(view.contact_name, 12)}）" for view in chosen
    )


def _left(session: Session, asker: Asker) -> str:
    views = tasks.today(session, asker.guide.id, asker.day, asker.now)
    left = sum(1 for view in views if view.state == TaskState.OPEN)
    return f"今天还剩 {left} 项。" if left else "今天的都处理好了，辛苦了！"


def _contact(session: Session, asker: Asker, command: Command) -> str:
    if not command.rest:
        return "想找哪位客户？例如「客户 王」或「客户 王女士」。"
    hits = customers.find(session, asker.guide, command.rest, MOST_HITS)
    if not hits:
        return nobody(command.rest)
    if len(hits) > 1:
        return several(hits, "客户")
    lines = customers.profile(session, hits[0], asker.day)
    standing = standing_lines.read(session, hits[0].contact_id, asker.day)
    lines += [f"{label}：{value}" for label, value in standing]
    views = tasks.today(session, asker.guide.id, asker.day, asker.now)
    lines += [
        f"今日待办 {view.number}：{words.plain(view.title)}"
        for view in views
        if view.contact_id == hits[0].contact_id and view.state == TaskState.OPEN
    ]
    return "\n".join(lines)


def _points(session: Session, asker: Asker, command: Command) -> str:
    hits = customers.find(session, asker.guide, command.rest, MOST_HITS)
    if not hits:
        return nobody(command.rest)
    lines = [f"{hit.name}：{_points_of(hit)}" for hit in hits[:MOST_HITS]]
    if len(hits) > MOST_HITS:
        lines.append("还有更多同名客户，请把名字写全一些。")
    return "\n".join(lines)


def _points_of(hit: customers.Hit) -> str:
    if hit.points is None:
        return "还没有积分资料"
    level = f"，{words.plain(hit.level)}" if hit.level else ""
    return f"{hit.points:,} 分{level}"


def _words(session: Session, asker: Asker, command: Command) -> str:
    if not command.rest:
        return "想找什么场景的话术？例如「话术 求婚」「话术 保养」。"
    found = talking_points.search(session, command.rest, limit=3)
    if not found:
        said = words.plain(command.rest, 20)
        return f"还没有和「{said}」有关的话术，换个词试试，例如「话术 新客」。"
    known = placeholders.guide_only_facts(session, asker.guide.id, asker.day)
    blocks = []
    for point in found:
        scene = f"（{words.plain(point.scene)}）" if point.scene else ""
        said = placeholders.fill(point.variants[0], known) if point.variants else ""
        blocks.append(
            f"【{words.plain(point.name)}】{scene}\n{words.plain(said, 300, keep_lines=True)}"
        )
    return _fitting("", blocks, "长按可以复制。")


def _week(session: Session, asker: Asker, command: Command) -> str:
    done = week.of_guide(session, asker.guide.id, asker.day)
    lost = f"，流失 {done.lost_count} 位" if done.lost_count else ""
    bought = (
        f"成交：{done.order_count} 单，{customers.money(done.amount_fen)}"
        if done.order_count
        else "成交：本周还没有记在您名下的订单"
    )
    return "\n".join(
        [
            f"本周（{facts.spoken_day(done.since, asker.day)}起）",
            f"待办：完成 {done.done_count} / {done.task_count}",
            f"新好友：{done.added_count} 位{lost}",
            bought,
        ]
    )


def _help(session: Session, asker: Asker, command: Command) -> str:
    return help_text()


def _fitting(head: str, blocks: Sequence[str], foot: str) -> str:
    """As many whole blocks as an app message holds, and how many are left."""
    said = [head] if head else []
    size = len(head.encode()) + len(foot.encode()) + _LAST_LINE
    for position, block in enumerate(blocks):
        size += len(block.encode("utf-8", "replace")) + 1
        if size > APP_TEXT_LIMIT and position > 0:
            said.append(f"……还有 {len(blocks) - position} 项")
            break
        said.append(block)
    return "\n".join([*said, foot])


_ANSWERS: dict[Verb, Callable[[Session, Asker, Command], str]] = {
    Verb.TODAY: _today,
    Verb.COMPLETE: _complete,
    Verb.SKIP: _skip,
    Verb.MOVE: _move,
    Verb.CONTACT: _contact,
    Verb.WORDS: _words,
    Verb.POINTS: _points,
    Verb.WEEK: _week,
    Verb.LEADS: lead_answers.answer,
    Verb.INTENT: lead_answers.intend,
    Verb.BOOK: store_visits.book,
    Verb.COME: store_visits.come,
    Verb.CONCLUDE: store_visits.conclude,
    Verb.CANCEL: store_visits.cancel,
    Verb.REST: days_off.rest,
    Verb.WORK: days_off.work,
    Verb.REFUSE: refusals.refuse,
    Verb.ALLOW: refusals.allow,
    Verb.HELP: _help,
}
