"""Explanations and previews as lines for a terminal."""

from __future__ import annotations

from sop.explain import Explanation
from sop.preview import Preview


def explanation(found: Explanation) -> list[str]:
    """Why each task exists, then for every other SOP why there is none."""
    lines = [f"{found.contact_name}  {found.day}  负责导购：{found.guide_name or '无'}", ""]
    for task in found.tasks:
        lines.append(f"● {task.sop_name} · {task.title}（{task.state.value}）")
        lines.append(f"    {task.why_line}")
        lines += [f"    {text}" for text in (task.ranking, task.reason) if text]
        lines += [f"    {day} 顺延：{reason}" for day, reason in task.deferrals]
        for reading in task.readings:
            mark = "✓" if reading.holds else "✗"
            lines.append(
                f"    {mark} {reading.label}：要求 {reading.wanted}，实际 {reading.actual}"
            )
    if not found.tasks:
        lines.append("这一天没有任务。")
    if found.absences:
        lines += ["", "没有产生任务的 SOP："]
    for absence in found.absences:
        lines.append(f"○ {absence.sop_name} v{absence.version}：{'；'.join(absence.reasons)}")
    return lines


def preview(found: Preview) -> list[str]:
    """The coming days in numbers, then samples with their words."""
    lines = [f"SOP「{found.sop_name}」未来 {len(found.days)} 天", *found.warnings]
    if found.impact:
        lines.append(f"发布后：{found.impact.sentence()}")
    for one in found.days:
        lines.append(
            f"{one.day}  任务 {one.tasks}（线上版本 {one.published_tasks}），导购 {one.guides} 位，"
            f"排队 {one.waiting}，满额导购 {one.guides_over_cap} 位"
        )
    lines.append(f"合计 {found.tasks} 项，比线上版本 {found.difference:+d}")
    for sample in found.samples:
        lines.append(f"{sample.day} {sample.guide_name} → {sample.contact_name} · {sample.title}")
        lines.append(f"    {sample.why_line}")
        if sample.words:
            lines.append(f"    {sample.words}")
    return lines
