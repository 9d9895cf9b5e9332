"""Where people are sent to prove who they are: guides inside WeCom, operators by QR code."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from bot.settings import WeComSettings

_GUIDE_PAGE = "https://open.weixin.qq.com/connect/oauth2/authorize"
_CONSOLE_PAGE = "https://login.work.weixin.qq.com/wwlogin/sso/login"
# The real platform; any other base address is a sandbox, which has both pages itself.
_REAL_HOST = ".weixin.qq.com"
_STATE = re.compile(r"[A-Za-z0-9]{1,128}")


def guide_authorize_url(wecom: WeComSettings, redirect_uri: str, state: str) -> str:
    """Silent sign-in of a guide in WeCom's browser (snsapi_base, 91022)."""
    query = {
        "appid": wecom.corp_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": "snsapi_base",
        "state": _checked(state),
        "agentid": str(wecom.agent_id),
    }
    page = _GUIDE_PAGE if is_real(wecom) else _sandbox_page(wecom, "oauth2/authorize")
    return f"{page}?{urlencode(query)}#wechat_redirect"


def console_login_url(wecom: WeComSettings, redirect_uri: str, state: str) -> str:
    """Sign-in to the console with a QR code (98152)."""
    query = {
        "login_type": "CorpApp",
        "appid": wecom.corp_id,
        "agentid": str(wecom.agent_id),
        "redirect_uri": redirect_uri,
        "state": _checked(state),
        "lang": "zh",
    }
    page = _CONSOLE_PAGE if is_real(wecom) else _sandbox_page(wecom, "wwlogin/sso/login")
    return f"{page}?{urlencode(query)}"


def is_real(wecom: WeComSettings) -> bool:
    """Whether calls go to WeCom itself."""
    host = urlsplit(wecom.api_base_url).hostname or ""
    return host.endswith(_REAL_HOST)


def _sandbox_page(wecom: WeComSettings, page: str) -> str:
    # The sandbox's pages stand beside its platform: …/sandbox/platform, …/sandbox/oauth2/authorize.
    base = wecom.api_base_url.rstrip("/").removesuffix("/platform")
    return f"{base}/{page}"


def _checked(state: str) -> str:
    if not _STATE.fullmatch(state):
        raise ValueError("state may hold 1 to 128 letters and digits")
    return state
