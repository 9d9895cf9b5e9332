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
from bot.clock import SHANGHAI, business_day
from bot.crm import members, workdays
from bot.crm.models import ChannelCode, Guide
from bot.embedded import schema_version
from bot.errors import WeComError, WeComUnavailable
from bot.wecom.errcodes import next_step
from content_library.models import WelcomeMessage
from handlers import plan_needs, web
from sop.models import SopStep, SopVersion, VersionState

# Step kind -> who sends it, and what people call it.
_SENT_BY = {"sms": ("sms", "短信"), "template_message": ("official_account", "公众号消息")}

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
    database = _database(bot)
    findings = [database, _redis(bot), _disk(bot), _public_url(bot), _metrics(bot)]
    # The token of the platform is kept in the database: without it nobody can be asked.
    is_open = database.state != "fail"
    for name, check in _CHECKS.items():
        finding = _guarded(name, check, bot) if is_open else Finding(name, "skip", _FIRST)
        findings.append(finding)
        if check is _token and finding.state == "fail":
            findings += [Finding(other, "skip", _FIRST) for other in _PLATFORM]
            break
    if is_open:
        findings += [_guarded(name, check, bot) for name, check in _RECORDS.items()]
    return findings


def _guarded(name: str, check: Callable[[Bot], Finding], bot: Bot) -> Finding:
    """A check whose database may go away in the middle of it."""
    try:
        return check(bot)
    except SQLAlchemyError as error:
        return _no_database(name, error)


def _database(bot: Bot) -> Finding:
    name = "数据库"
    try:
        with bot.engine.connect() as connection:
            found = frozenset(connection.scalars(text(schema_version.QUERY)))
    except SQLAlchemyError as error:
        return _no_database(name, error)
    version = "、".join(sorted(found)) or "（空）"
    match schema_version.fit(found):
        case schema_version.Fit.OLD:
            return Finding(name, "fail", f"结构版本 {version} 太旧", "运行 daogou migrate")
        case schema_version.Fit.NEWER:
            said = f"结构版本 {version} 比程序新"
            return Finding(name, "warn", said, "换上升级后的程序再启动")
    return Finding(name, "ok", f"已连接，结构版本 {version}")


def _no_database(name: str, error: SQLAlchemyError) -> Finding:
    return Finding(
        name,
        "fail",
        f"打不开数据库（{type(error).__name__}）",
        "检查 DATABASE_URL，再运行 daogou migrate",
    )


def _redis(bot: Bot) -> Finding:
    if bot.bells.answers():
        return Finding("Redis", "ok", "已连接")
    return Finding("Redis", "warn", "没有回应，任务靠轮询处理，会慢一两秒", "检查 REDIS_URL")


def _disk(bot: Bot) -> Finding:
    try:
        free = shutil.disk_usage(bot.settings.var_dir).free
    except OSError as error:
        return Finding("磁盘", "fail", f"打不开 VAR_DIR（{error.strerror}）", "检查 VAR_DIR")
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


def _metrics(bot: Bot) -> Finding:
    token = web.metrics_token(bot.settings.secret_key)
    return Finding(
        "监控",
        "ok",
        f"{bot.settings.public_base_url}/metrics，请求头 Authorization: Bearer {token}",
    )


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

    return _try("通讯录", look)


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

    return _try("客户联系", look)


def _tags(bot: Bot) -> Finding:
    return _try("客户标签", lambda: f"企业标签组 {len(bot.gateway.corp_tags())} 个")


def _kf(bot: Bot) -> Finding:
    def look() -> str:
        accounts = bot.gateway.kf_accounts()
        if not accounts:
            raise Partly(
                "没有可管理的客服账号",
                "微信客服 → API：把客服账号交给本应用管理，关键词回复才会工作",
            )
        return f"客服账号 {len(accounts)} 个"

    return _try("微信客服", look)


def _callback(bot: Bot) -> Finding:
    with bot.sessions() as session:
        last = session.scalar(select(func.max(inbox.Inbox.received_at)))
        wrong = session.scalar(select(func.count()).select_from(inbox.Quarantine)) or 0
    url = f"{bot.settings.public_base_url}/wecom/callback"
    if wrong:
        return Finding(
            "回调",
            "fail",
            f"{wrong} 条回调解不开",
            "核对 EncodingAESKey 与企业 ID，和后台“接收消息”页一致",
        )
    if last is None:
        return Finding(
            "回调",
            "warn",
            "还没有收到过回调",
            f"在应用“接收消息”里填 {url} 并打开客户变更回调",
        )
    return Finding("回调", "ok", f"最近一次 {last:%Y-%m-%d %H:%M} UTC")


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


def _carriers(bot: Bot) -> Finding:
    """SMS and official account: whether steps of that kind can be sent."""
    name, settings = "短信与公众号", bot.settings
    labels = {
        "sms": ("短信", settings.sms),
        "official_account": ("公众号", settings.official_account),
    }
    working, broken = [], []
    for key, (label, given) in labels.items():
        carrier = bot.carriers.get(key)
        if given is None or carrier is None:
            working.append(f"{label}没有配置")
            continue
        try:
            carrier.check()
        except WeComError as error:
            broken.append(f"{label}不可用（{error.reason or error.errcode}）")
        else:
            working.append(f"{label}可用")
    if broken:
        advice = "核对 SMS_* 与 OFFICIAL_ACCOUNT_* 的设置和服务商后台"
        return Finding(name, "fail", "；".join(broken + working), advice)
    missing = _unsendable(bot)
    if missing:
        said = f"{'；'.join(working)}；已发布的 SOP 里有{'、'.join(missing)}步骤"
        return Finding(name, "fail", said, "配置 SMS_* 或 OFFICIAL_ACCOUNT_*，或改用别的触达方式")
    return Finding(name, "ok", "；".join(working))


def _unsendable(bot: Bot) -> list[str]:
    """Kinds that published SOPs send and nothing here can."""
    absent = {
        kind: label for kind, (carrier, label) in _SENT_BY.items() if carrier not in bot.carriers
    }
    with bot.sessions() as session:
        used = session.scalars(
            select(SopStep.template_ids)
            .join(SopVersion, SopVersion.id == SopStep.version_id)
            .where(SopVersion.state == VersionState.PUBLISHED)
        ).all()
    kinds = {kind for one in used for kind in one}
    return [label for kind, label in absent.items() if kind in kinds]


def _plan_needs(bot: Bot) -> Finding:
    """What published SOPs send and nobody has filled in: templates, signatures, the survey."""
    name = "SOP 的内容"
    with bot.sessions() as session:
        needs = plan_needs.missing(session, may_be_samples=bot.settings.sandbox)
    if not needs:
        return Finding(name, "ok", "已发布的 SOP 用到的模板和网址都已填好")
    found = "；".join(said for said, _ in needs)
    return Finding(name, "warn", found, "；".join(dict.fromkeys(step for _, step in needs)))


def _workdays(bot: Bot) -> Finding:
    with bot.sessions() as session:
        year = workdays.unpublished(session, business_day(bot.clock.now()))
    if year is not None:
        return Finding(
            "工作日",
            "warn",
            f"{year} 年的调休还没有录入",
            "国务院公布后在品牌包的 workdays 里补上，或升级本程序",
        )
    return Finding("工作日", "ok", "今年的调休已录入")


def mobile_key(bot: Bot) -> Finding:
    """With another key nobody is found by her number any more, and every order makes a stranger."""
    name = "手机号密钥"
    with bot.sessions() as session:
        opens = members.opens_with(session, bot.settings.secret_key)
    if opens is False:
        found = "已保存的手机号打不开，SECRET_KEY 和保存时的不一样"
        return Finding(name, "fail", found, "换回原来的 SECRET_KEY，再重启")
    return Finding(name, "ok", "手机号能打开" if opens else "还没有手机号")


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


_FIRST = "先解决上面的问题"
_PLATFORM: dict[str, Callable[[Bot], Finding]] = {
    "通讯录": _directory,
    "客户联系": _contacts,
    "客户标签": _tags,
    "微信客服": _kf,
    "回调": _callback,
}
_CHECKS: dict[str, Callable[[Bot], Finding]] = {"企业与密钥": _token, **_PLATFORM}
_RECORDS: dict[str, Callable[[Bot], Finding]] = {
    "手机号密钥": mobile_key,
    "内容": _content,
    "短信与公众号": _carriers,
    "SOP 的内容": _plan_needs,
    "工作日": _workdays,
    "暂停的接口": pauses,
    "失败的消息": _letters,
}
