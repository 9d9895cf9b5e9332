"""doctor (体检): every setting against the platform, each with what was found and the next step.

The order is that of an installation: our own ground first, then the way to WeCom, then what the
corp's console must allow. A check that depends on a failed one is skipped, not guessed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from bot import inbox, outbox
from bot.bot import Bot
from bot.clock import SHANGHAI
from bot.crm.models import ChannelCode, Guide
from bot.errors import WeComError, WeComUnavailable
from bot.wecom.errcodes import next_step
from content_library.models import WelcomeMessage

State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One check: its name, how it ended, what was found, what to do next ("" when nothing)."""

    name: str
    state: State
    found: str
    next_step: str = ""


def examine(bot: Bot) -> list[Finding]:
    """All checks, in order. Never raises for what it is there to find."""
    findings = [_database(bot), _redis(bot), _disk(bot), _public_url(bot)]
    token = _token(bot)
    findings.append(token)
    for check in _PLATFORM:
        if token.state == "fail":
            findings.append(Finding(_NAMES[check], "skip", "先解决上面的问题"))
        else:
            findings.append(check(bot))
    if findings[0].state == "ok":
        findings += [_content(bot), pauses(bot), _letters(bot)]
    return findings


def _database(bot: Bot) -> Finding:
    name = "数据库"
    try:
        with bot.engine.connect() as connection:
            version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        return Finding(
            name,
            "fail",
            f"打不开（{type(error).__name__}）",
            "检查 DATABASE_URL，再运行 daogou migrate",
        )
    return Finding(name, "ok", f"已连接，结构版本 {version}")


def _redis(bot: Bot) -> Finding:
    if bot.bells.answers():
        return Finding("Redis", "ok", "已连接")
    return Finding("Redis", "warn", "没有回应，任务靠轮询处理，会慢一两秒", "检查 REDIS_URL")


def _disk(bot: Bot) -> Finding:
    free = shutil.disk_usage(bot.settings.var_dir).free
    found = f"剩余 {free // 1024**3} GB"
    if free < 1024**3:
        return Finding("磁盘", "fail", found, "清理磁盘，或把 VAR_DIR 移到更大的盘")
    return Finding("磁盘", "ok", found)


def _public_url(bot: Bot) -> Finding:
    url = bot.settings.public_base_url
    if bot.settings.sandbox:
        return Finding("访问地址", "ok", f"{url}（沙箱）")
    if not url.startswith("https://"):
        return Finding(
            "访问地址",
            "fail",
            url,
            "把 PUBLIC_BASE_URL 设为 https 地址，并设为应用的可信域名",
        )
    return Finding("访问地址", "ok", url)


def _token(bot: Bot) -> Finding:
    wecom = bot.settings.wecom
    return _try(
        "企业与密钥",
        lambda: (bot.gateway.callback_ips(), f"企业 {wecom.corp_id}，应用 {wecom.agent_id}")[1],
    )


def _directory(bot: Bot) -> Finding:
    def look() -> str:
        departments = bot.gateway.departments()
        if not departments:
            raise Empty("应用的可见范围是空的", "在应用详情里把门店所在部门加入可见范围")
        return f"可见部门 {len(departments)} 个"

    return _try(_NAMES[_directory], look)


def _contacts(bot: Bot) -> Finding:
    def look() -> str:
        userids = set(bot.gateway.follow_users())
        if not userids:
            raise Empty(
                "没有可用客户联系的成员",
                "客户联系 → 权限配置：给导购开通客户联系，并把本应用加入可调用接口的应用",
            )
        with bot.sessions() as session:
            known = set(session.scalars(select(Guide.userid).where(Guide.is_active)))
        missing = sorted(known - userids)
        found = f"{len(userids)} 位成员已开通客户联系"
        if missing:
            names = "、".join(missing[:5])
            raise Partly(
                found, f"{len(missing)} 位导购还没有：{names}{'…' if len(missing) > 5 else ''}"
            )
        return found

    return _try(_NAMES[_contacts], look)


def _tags(bot: Bot) -> Finding:
    return _try(_NAMES[_tags], lambda: f"企业标签组 {len(bot.gateway.corp_tags())} 个")


def _kf(bot: Bot) -> Finding:
    def look() -> str:
        accounts = bot.gateway.kf_accounts()
        if not accounts:
            raise Partly(
                "没有可管理的客服账号",
                "微信客服 → API：把客服账号交给本应用管理，关键词回复才会工作",
            )
        return f"客服账号 {len(accounts)} 个"

    return _try(_NAMES[_kf], look)


def _callback(bot: Bot) -> Finding:
    with bot.sessions() as session:
        last = session.scalar(select(func.max(inbox.Inbox.received_at)))
        wrong = session.scalar(select(func.count()).select_from(inbox.Quarantine)) or 0
    url = f"{bot.settings.public_base_url}/wecom/callback"
    if wrong:
        return Finding(
            _NAMES[_callback],
            "fail",
            f"{wrong} 条回调解不开",
            "核对 EncodingAESKey 与企业 ID，和后台“接收消息”页一致",
        )
    if last is None:
        return Finding(
            _NAMES[_callback],
            "warn",
            "还没有收到过回调",
            f"在应用“接收消息”里填 {url} 并打开客户变更回调",
        )
    return Finding(_NAMES[_callback], "ok", f"最近一次 {last:%Y-%m-%d %H:%M} UTC")


def _content(bot: Bot) -> Finding:
    with bot.sessions() as session:
        default = session.scalar(select(WelcomeMessage.name).where(WelcomeMessage.is_default))
        unpushed = session.scalar(
            select(func.count()).where(ChannelCode.is_active, ChannelCode.config_id.is_(None))
        )
    if default is None:
        return Finding(
            "内容", "warn", "没有默认欢迎语", "在后台或品牌包里设一条 default: true 的欢迎语"
        )
    if unpushed:
        return Finding(
            "内容", "warn", f"{unpushed} 个渠道活码还没在企业微信建好", "看 daogou deadletters list"
        )
    return Finding("内容", "ok", f"默认欢迎语「{default}」，活码都已建好")


def pauses(bot: Bot) -> Finding:
    """APIs nobody calls now: held until somebody sets something right, or waiting out a limit."""
    name, wanted = "暂停的接口", outbox.ApiPause
    with bot.sessions() as session:
        running = select(wanted).where(wanted.until > func.now()).order_by(wanted.api)
        pauses = session.scalars(running).all()
    if not pauses:
        return Finding(name, "ok", "没有")
    held = [each.api for each in pauses if each.is_held]
    found = "；".join(
        f"{each.api}（{each.reason}，到 {each.until.astimezone(SHANGHAI):%H:%M}）"
        for each in pauses
    )
    if not held:
        return Finding(name, "warn", found, "平台限频，到时会自己恢复")
    call = outbox.Outbox
    waiting = select(call.last_errcode).where(
        call.state == outbox.CallState.DUE, call.api.in_(held), call.last_errcode.is_not(None)
    )
    with bot.sessions() as session:
        errcode = session.scalar(waiting.order_by(call.id.desc()).limit(1))
    advice = next_step(errcode) if errcode else "按原因改好后台设置"
    return Finding(name, "fail", found, f"{advice}（改好后五分钟内自动再试）")


def _letters(bot: Bot) -> Finding:
    with bot.sessions() as session:
        count = len(inbox.dead_letters(session)) + len(outbox.dead_letters(session))
    if count:
        return Finding("失败的消息", "warn", f"{count} 条", "daogou deadletters list 看原因")
    return Finding("失败的消息", "ok", "没有")


class Partly(Exception):
    """A check that works, with something a person should know."""


class Empty(Exception):
    """A check that answers, but with nothing to work on."""


def _try(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except Partly as found:
        return Finding(name, "warn", *found.args)
    except Empty as found:
        return Finding(name, "fail", *found.args)
    except WeComUnavailable as error:
        return Finding(
            name, "fail", f"平台没有正常回应（{error.reason}）", "检查本机网络和 WECOM_API_BASE_URL"
        )
    except WeComError as error:
        return Finding(name, "fail", f"平台返回 {error.errcode}", next_step(error.errcode))


_PLATFORM: tuple[Callable[[Bot], Finding], ...] = (_directory, _contacts, _tags, _kf, _callback)
_NAMES: dict[Callable[[Bot], Finding], str] = {
    _directory: "通讯录",
    _contacts: "客户联系",
    _tags: "客户标签",
    _kf: "微信客服",
    _callback: "回调",
}
