"""Words that advertising law does not like (广告法用语): found and named, never changed by us.

The list is closed and short on purpose: absolute terms (广告法 article 9), promises of value or of
an effect that no jewel has. A finding is a warning for HQ, for only a person can judge a sentence.
"""

from __future__ import annotations

import re

_TERMS = re.compile(
    r"最(?:佳|好|优惠|优秀|优|高级|高端|低价|低|强|便宜|先进|顶级|受欢迎|划算|实惠|完美|权威|专业)"
    r"|第一(?!次|时间|天|眼|个|步|单|位|件|款|枚|年|时|批|份|课|届|对)"
    r"|唯一|顶级|极品|国家级|世界级|全球级|全网|史上|史无前例|前无古人|绝无仅有|独一无二"
    r"|永久|永不|万能|绝对|100\s*%|百分之百|百分百|零风险|无风险|稳赚"
    r"|保值|升值|增值|辟邪|治疗|疗效|养生"
)


def find(words: str) -> list[str]:
    """The terms in `words` that HQ should look at, each once, in order."""
    return list(dict.fromkeys(found[0] for found in _TERMS.finditer(words)))


def warning(where: str, words: str) -> str | None:
    """One sentence about `words`, or None if there is nothing to say."""
    found = find(words)
    if not found:
        return None
    named = "、".join(f"「{one}」" for one in found)
    return f"{where}里有广告法不建议使用的词：{named}，请确认或改写"
