"""Explanations and previews as lines for a terminal."""

from __future__ import annotations

from sop.explain import Explanation
from sop.foreseen import Changed, DayPreview, Preview
from sop.models import TaskState
from sop.preview import WAITING
from sop.step_kinds import KINDS

#: A task's state on a terminal.
STATES: dict[TaskState, str] = {
    TaskState.OPEN: "待办",
    TaskState.DEFERRED: "顺延",
    TaskState.DONE: "完成",
    TaskState.SKIPPED: "跳过",
    TaskState.EXPIRED: "过期",
    TaskState.WITHDRAWN: "撤回",
}


def named(name: str) -> str:
    """A contact's name, or that she has told none."""
    return name.strip() or "（没有名字）"


def explanation(found: Explanation) -> list[str]:
    """Why each task exists, then for every other SOP why there is none."""
    who = named(found.contact_name)
    lines = [f"{who}  {found.day}  负责导购：{found.guide_name or '无'}"]
    lines += [f"{'✓' if gate.holds else '✗'} {gate.words}" for gate in found.gates]
    lines += [f"发布计划：{words}" for words in found.postings]
    lines.append("")
    for task in found.tasks:
        lines.append(f"● {task.sop_name} · {task.title}（{STATES[task.state]}）")
        lines.append(f"    {task.why_line}")
        said = (task.ranking, task.channel, *task.shifts, task.coupon, task.reason)
        told = {reason for _, reason in task.deferrals}
        lines += [f"    {text}" for text in said if text and text not in told]
        lines += [f"    {day} 顺延：{reason}" for day, reason in task.deferrals]
        for reading in task.readings:
            mark = "✓" if reading.holds else "✗"
            lines.append(
                f"    {mark} {reading.label}：要求 {reading.wanted}，实际 {reading.actual}"
            )
    if not found.tasks:
        lines.append("这一天没有任务。")
    return lines + _absences(found)


def _absences(found: Explanation) -> list[str]:
    """A reason that holds for many SOPs is said once."""
    lines = ["", f"没有产生任务的 SOP（{len(found.absences)} 个）："] if found.absences else []
    for reasons, those in found.grouped_absences:
        names = "、".join(f"{one.sop_name} v{one.version}" for one in those)
        lines.append(f"○ {names}：{'；'.join(reasons)}")
    return lines


def preview(found: Preview) -> list[str]:
    """The coming days in numbers, then samples with their words."""
    lines = [f"SOP「{found.sop_name}」未来 {len(found.days)} 天", *found.warnings]
    if found.impact:
        lines.append(f"发布后：{found.impact.sentence()}")
    for one in found.days:
        lines += _of_day(one)
    lines.append(f"合计 {found.tasks} 项，比线上版本 {found.difference:+d}")
    change = found.change
    if change.gone or change.same:
        lines.append(f"新增 {change.added} 项，不再 {change.gone} 项，不变 {change.same} 项")
        lines += [f"    新增 {_changed(one)}" for one in change.added_samples]
        lines += [f"    不再 {_changed(one)}" for one in change.gone_samples]
    for sample in found.samples:
        lines.append(
            f"{sample.day} {sample.guide_name} → {named(sample.contact_name)} · {sample.title}"
        )
        lines.append(f"    {sample.why_line}")
        if sample.words:
            lines.append(f"    {sample.words}")
    return lines


def _of_day(one: DayPreview) -> list[str]:
    """A day in numbers, then its tasks by kind, what waits and for what, what guides confirm."""
    parts = [
        f"{label} {one.by_kind[kind]}" for kind, label in KINDS.items() if one.by_kind.get(kind)
    ]
    if one.mass_sends:
        parts.append(f"请导购确认群发 {one.mass_sends} 次")
    if one.postings:
        parts.append(f"朋友圈或客户群 {one.postings} 条")
    waits = [f"{WAITING.get(why, '其他原因')} {n}" for why, n in one.waiting_by.items()]
    lines = [
        f"{one.day}  任务 {one.tasks}（线上版本 {one.published_tasks}），导购 {one.guides} 位，"
        f"排队 {one.waiting}，满额导购 {one.guides_over_cap} 位"
    ]
    lines += [f"    {'、'.join(parts)}"] if parts else []
    return lines + ([f"    排队：{'、'.join(waits)}"] if waits else [])


def _changed(one: Changed) -> str:
    return f"{one.day} {named(one.contact_name)} · {one.title}"
