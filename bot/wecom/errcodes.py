"""WeCom's error numbers (全局错误码): what each means for us, in one table.

A number becomes an exception class, and the class says whether trying again can help
(`RETRIES`). `next_step` is what a guide, HQ or IT can do, shown by `daogou doctor` and beside
dead letters. Only numbers are judged, never `errmsg`, as
developer.work.weixin.qq.com/document/path/90455 demands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot import errors


class Retry(StrEnum):
    """What trying the same call again can do."""

    BACKOFF = "backoff"  # soon, with growing pauses; the effect may already be there
    WAIT = "wait"  # after retry_after
    ONCE_CHANGED = "once_changed"  # after a person changed a setting, or we uploaded again
    NEVER = "never"


RETRIES: dict[type[errors.WeComError], Retry] = {
    errors.WeComUnavailable: Retry.BACKOFF,
    errors.RateLimited: Retry.WAIT,
    errors.WelcomeBusy: Retry.BACKOFF,
    errors.TokenRejected: Retry.BACKOFF,
    errors.NotConfigured: Retry.ONCE_CHANGED,
    errors.MediaExpired: Retry.ONCE_CHANGED,
    errors.ConsentPending: Retry.NEVER,
    errors.FollowEnded: Retry.NEVER,
    errors.WelcomeExpired: Retry.NEVER,
    errors.WelcomeTaken: Retry.NEVER,
    errors.UnknownPerson: Retry.NEVER,
    errors.Refused: Retry.NEVER,
}


@dataclass(frozen=True)
class Errcode:
    """One number: the exception it becomes, and the next step for people."""

    raises: type[errors.WeComError]
    next_step: str
    retry_after: float = 60.0


_CORP = "请 IT 核对企业微信后台的设置后再试。"
_BUG = "请求内容不被企业微信接受,请把这条记录发给技术支持。"
_ASK_IT_SCOPE = "请管理员在企业微信后台「应用管理」里把相关成员加入应用的可见范围。"

ERRCODES: dict[int, Errcode] = {
    -1: Errcode(errors.WeComUnavailable, "企业微信系统繁忙,会自动重试,无需处理。"),
    6000: Errcode(errors.WeComUnavailable, "同时有别的修改,会自动重试,无需处理。"),
    40001: Errcode(
        errors.NotConfigured, "应用 Secret 不正确或已重置,请 IT 更新 WECOM_APP_SECRET。"
    ),
    40013: Errcode(errors.NotConfigured, "企业 ID 不正确,请 IT 核对 WECOM_CORP_ID。"),
    41002: Errcode(errors.NotConfigured, "缺少企业 ID,请 IT 填写 WECOM_CORP_ID。"),
    41004: Errcode(errors.NotConfigured, "缺少应用 Secret,请 IT 填写 WECOM_APP_SECRET。"),
    40014: Errcode(
        errors.TokenRejected, "访问凭证被拒绝,已自动更换;反复出现请 IT 核对应用 Secret。"
    ),
    42001: Errcode(
        errors.TokenRejected, "访问凭证已过期,已自动更换;反复出现请 IT 核对应用 Secret。"
    ),
    41001: Errcode(errors.TokenRejected, "请求没有带上访问凭证,请检查中间的代理是否改写了地址。"),
    40056: Errcode(errors.NotConfigured, "应用 AgentId 不正确,请 IT 核对 WECOM_AGENT_ID。"),
    301002: Errcode(
        errors.NotConfigured, "AgentId 与 Secret 不是同一个应用,请 IT 核对 WECOM_AGENT_ID。"
    ),
    301007: Errcode(errors.NotConfigured, "企业已不可用,请联系企业微信管理员。"),
    48001: Errcode(errors.NotConfigured, "应用没有这项功能的授权,请管理员在企业微信后台开通。"),
    48002: Errcode(
        errors.NotConfigured,
        "请管理员在「客户联系」和「微信客服」的「可调用接口的应用」里加入本应用。",
    ),
    48004: Errcode(errors.NotConfigured, "授权已失效,请管理员重新授权。"),
    48005: Errcode(errors.Refused, "企业微信已停用这个接口,请升级本程序。"),
    48006: Errcode(errors.NotConfigured, "接口权限因长期未用被收回,请管理员重新开通。"),
    48007: Errcode(errors.NotConfigured, "请管理员把这个客服账号授权给本应用。"),
    50001: Errcode(errors.NotConfigured, "请管理员把网页域名设为应用的可信域名(含端口)。"),
    50002: Errcode(errors.UnknownPerson, _ASK_IT_SCOPE),
    50003: Errcode(errors.NotConfigured, "应用已停用,请管理员在企业微信后台启用。"),
    60020: Errcode(
        errors.NotConfigured,
        "请管理员把本服务器的出口 IP 加入应用的「企业可信 IP」,约 1 分钟生效。",
    ),
    45009: Errcode(errors.RateLimited, "调用太频繁,已自动暂停,稍后继续,无需处理。"),
    45033: Errcode(errors.RateLimited, "同时调用太多,会放慢后继续,无需处理。", 2.0),
    41063: Errcode(errors.RateLimited, "群发正在创建,稍后再查,无需处理。", 2.0),
    41079: Errcode(errors.RateLimited, "朋友圈任务正在派发,稍后继续,无需处理。", 60.0),
    41094: Errcode(errors.RateLimited, "提醒太频繁,24 小时内最多 3 次。", 3600.0),
    95007: Errcode(errors.Refused, "客服消息的通知已过期,会改用游标继续拉取。"),
    40029: Errcode(errors.Refused, "登录码无效或已用过,请重新打开页面登录。"),
    42003: Errcode(errors.Refused, "登录码已过期,请重新打开页面登录。"),
    42022: Errcode(errors.Refused, "登录码已用过,请重新打开页面登录。"),
    84014: Errcode(errors.Refused, "登录凭据已过期,请重新登录。"),
    84015: Errcode(errors.Refused, "登录凭据无效,请重新登录。"),
    # People and what binds them.
    40003: Errcode(errors.UnknownPerson, "成员账号不正确,请核对导购的企业微信账号。"),
    40031: Errcode(errors.UnknownPerson, "成员账号不正确,请核对导购的企业微信账号。"),
    40096: Errcode(errors.UnknownPerson, "客户不在本企业或应用看不到,请核对跟进导购在可见范围内。"),
    46004: Errcode(errors.UnknownPerson, "成员不存在,可能已离职。"),
    60011: Errcode(errors.UnknownPerson, _ASK_IT_SCOPE),
    60021: Errcode(errors.UnknownPerson, _ASK_IT_SCOPE),
    60030: Errcode(errors.UnknownPerson, _ASK_IT_SCOPE),
    60003: Errcode(errors.UnknownPerson, "部门不存在,请重新同步通讯录。"),
    60111: Errcode(errors.UnknownPerson, "成员不存在或不在可见范围,可能已离职,请重新同步通讯录。"),
    81013: Errcode(errors.UnknownPerson, "收件人都不在应用可见范围内,请管理员检查可见范围。"),
    40098: Errcode(errors.UnknownPerson, "导购还没有实名认证,请导购在企业微信里完成认证。"),
    40143: Errcode(errors.UnknownPerson, "导购的账号已被封禁,请联系管理员。"),
    40205: Errcode(errors.UnknownPerson, "导购太久没有登录企业微信,请登录一次。"),
    41054: Errcode(errors.UnknownPerson, "导购还没有激活企业微信,请导购登录一次。"),
    84074: Errcode(errors.NotConfigured, "请管理员给导购开通「客户联系」功能。"),
    84083: Errcode(errors.UnknownPerson, "该成员不是服务人员,请核对账号。"),
    84084: Errcode(errors.FollowEnded, "该成员不是这位客户的跟进人。"),
    84061: Errcode(errors.FollowEnded, "导购与客户已不是好友,无需处理。"),
    # Welcome messages.
    41049: Errcode(errors.Refused, _BUG),
    41050: Errcode(errors.WelcomeExpired, "欢迎语超过 20 秒未发出,请导购手动打个招呼。"),
    41051: Errcode(errors.WelcomeTaken, "客户已收到欢迎语或已开始聊天,无需处理。"),
    41053: Errcode(errors.ConsentPending, "客户同意会话存档后会自动发送,无需处理。"),
    41096: Errcode(errors.WelcomeBusy, "另一个应用正在发欢迎语,会自动重试。"),
    # Content.
    40007: Errcode(errors.MediaExpired, "素材已过期,会重新上传后再发。"),
    40004: Errcode(errors.Refused, "素材类型不支持,请换一个文件。"),
    40006: Errcode(errors.Refused, "素材大小不合要求,请换一个文件。"),
    40009: Errcode(errors.Refused, "图片太大,请压缩后再试。"),
    45001: Errcode(errors.Refused, "文件太大,请压缩后再试。"),
    40008: Errcode(errors.Refused, _BUG),
    40032: Errcode(errors.Refused, "一次的人数太多,请分批。"),
    40033: Errcode(errors.Refused, "内容里有不支持的字符,请修改文字。"),
    40035: Errcode(errors.Refused, _BUG),
    40058: Errcode(errors.Refused, _BUG),
    40063: Errcode(errors.Refused, _BUG),
    40068: Errcode(errors.Refused, "标签在企业微信里已不存在,请重新同步标签。"),
    40071: Errcode(errors.Refused, "同名标签已存在,请改名或重新同步标签。"),
    40126: Errcode(errors.Refused, "企业标签数量已到上限,请清理不用的标签。"),
    81011: Errcode(errors.NotConfigured, "标签不是本应用创建的,请在企业微信后台修改。"),
    44004: Errcode(errors.Refused, "消息文字是空的,请补充内容。"),
    45002: Errcode(errors.Refused, "消息太长,请缩短。"),
    45008: Errcode(errors.Refused, "图文条数太多,最多 8 条。"),
    41064: Errcode(errors.Refused, "附件太多,最多 9 个。"),
    41065: Errcode(errors.Refused, "附件类型不支持,请换一个素材。"),
    82001: Errcode(errors.Refused, "没有收件人。"),
    82004: Errcode(errors.Refused, "内容不合规,请修改文字。"),
    40201: Errcode(errors.Refused, "被企业微信的防骚扰规则拦下,请减少发送。"),
    40204: Errcode(errors.Refused, "被企业微信的防骚扰规则拦下,请减少发送。"),
    43012: Errcode(errors.NotConfigured, "请 IT 在应用里配置接收消息的地址,卡片按钮才能使用。"),
    42014: Errcode(errors.Refused, "卡片编号重复,请重新生成。"),
    42015: Errcode(errors.Refused, "卡片不是本应用发出的。"),
    42016: Errcode(errors.Refused, "卡片不存在。"),
    42052: Errcode(errors.Refused, "消息发出超过 24 小时,不能撤回。"),
    60140: Errcode(errors.Refused, "卡片已更新过或超过 72 小时,无需处理。"),
    82101: Errcode(errors.Refused, "没有要更新的成员。"),
    82102: Errcode(errors.UnknownPerson, "该成员没有收到这张卡片。"),
    # Channel codes.
    41040: Errcode(errors.Refused, _BUG),
    41041: Errcode(errors.Refused, "一个渠道码最多 100 位导购,请减少人数。"),
    41043: Errcode(errors.Refused, _BUG),
    41044: Errcode(errors.Refused, "渠道码在企业微信里已不存在,请重新生成。"),
    41045: Errcode(errors.Refused, "渠道码数量已到上限,请清理不用的渠道码。"),
    # Mass messages and moments.
    41046: Errcode(errors.Refused, _BUG),
    41047: Errcode(errors.Refused, "群发记录不存在,可能已被删除。"),
    41048: Errcode(errors.Refused, "这些客户都不能群发(不是好友或本月已达上限),无需处理。"),
    41093: Errcode(errors.Refused, "群发已经取消,无需处理。"),
    41059: Errcode(errors.Refused, _BUG),
    41060: Errcode(errors.Refused, "朋友圈不存在,可能已被删除。"),
    41061: Errcode(errors.Refused, "这条朋友圈不是发给该导购的。"),
    41062: Errcode(errors.Refused, "导购还没有发表这条朋友圈,稍后再查。"),
    41067: Errcode(errors.Refused, _BUG),
    41078: Errcode(errors.RateLimited, "同时创建的朋友圈太多,稍后继续,无需处理。", 60.0),
    41089: Errcode(errors.Refused, "朋友圈要有文字或图片,请补充内容。"),
    41072: Errcode(errors.Refused, "素材的用途不对,请重新上传。"),
    41080: Errcode(errors.Refused, "朋友圈素材的大小不合要求,请换一个文件。"),
    41081: Errcode(errors.Refused, "朋友圈图片的尺寸太大,请换一张。"),
    41082: Errcode(errors.Refused, "朋友圈视频太长,最多 30 秒。"),
    41090: Errcode(errors.Refused, "朋友圈视频要是 MP4。"),
    # 微信客服.
    60251: Errcode(errors.Refused, _BUG),
    60252: Errcode(errors.Refused, "客服账号不正确,请核对。"),
    95000: Errcode(errors.Refused, "客服账号不正确,请核对。"),
    95001: Errcode(errors.Refused, "客户每次来信后最多回 5 条,请等客户再次来信。"),
    95002: Errcode(errors.Refused, "客户超过 48 小时没有来信,不能再回复。"),
    95003: Errcode(errors.NotConfigured, "企业未认证,接待人数已到上限,请管理员认证企业。"),
    95004: Errcode(errors.Refused, "客服账号已删除或不属于本企业。"),
    95013: Errcode(errors.Refused, "客服会话已结束,无需处理。"),
    95014: Errcode(errors.UnknownPerson, "接待人员不在名单里或未激活,请检查客服接待设置。"),
    95016: Errcode(errors.Refused, "客服会话状态已改变,无需处理。"),
    95017: Errcode(errors.NotConfigured, "请管理员打开微信客服的 API 功能。"),
    95018: Errcode(errors.Refused, "客服会话已转人工或结束,不能自动回复。"),
    95019: Errcode(errors.UnknownPerson, "接待人员已停止接待,请换一位。"),
    95030: Errcode(errors.Refused, "这种消息被禁止发送。"),
    95031: Errcode(errors.Refused, "客户超过 48 小时没有咨询,不能再回复。"),
    # JS-SDK.
    42012: Errcode(errors.Refused, "页面签名不是本应用的,请刷新页面。"),
    40093: Errcode(errors.Refused, "页面签名不正确,请刷新页面。"),
}
# The 25 field errors of template cards mean one thing for people.
ERRCODES.update({code: Errcode(errors.Refused, _BUG) for code in range(42027, 42052)})

UNLISTED = Errcode(errors.Refused, "企业微信拒绝了这次请求,请把错误码发给技术支持。")
# A refused token, as opposed to a wrong secret: a new token may be accepted.
TOKEN_ERRCODES = frozenset({40014, 42001})


def error_for(api: str, errcode: int, reason: str = "") -> errors.WeComError:
    """The exception for a number; numbers not listed are `Refused`."""
    row = ERRCODES.get(errcode, UNLISTED)
    if issubclass(row.raises, errors.RateLimited):
        return row.raises(api, errcode, reason, retry_after=row.retry_after)
    return row.raises(api, errcode, reason)


def next_step(errcode: int | None) -> str:
    """One short sentence in Chinese for people who see this number."""
    if errcode is None:
        return "没有收到企业微信的有效答复,会自动重试;反复出现请 IT 检查网络。"
    return ERRCODES.get(errcode, UNLISTED).next_step


def retry_of(error: errors.WeComError) -> Retry:
    """Whether trying again can help, by the class of the error."""
    return RETRIES.get(type(error), Retry.NEVER)
