"""The roof (屋顶): builds the bot and the web app out of all floors; nobody imports it."""

from __future__ import annotations

import sys
from datetime import date

from flask import Flask
from redis import Redis
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from bot.bells import Bells
from bot.bot import Bot, Carrier
from bot.clock import Clock
from bot.crm import mobiles
from bot.db import create_database_engine, create_sessions
from bot.embedded import Servers
from bot.limiter import Limiter
from bot.sandbox.config import SandboxConfig
from bot.sandbox.server import create_sandbox
from bot.settings import Settings
from bot.sms import SmsCarrier
from bot.wecom.gateway import Gateway
from bot.wecom.official_account import OfficialAccount
from bot.wecom.tokens import TokenStore
from handlers import commands, timetable, web
from handlers.doors import DOORS


def build_bot(
    settings: Settings, database_url: str, redis_url: str | None, *, pool: int = 10
) -> Bot:
    """One bot for one process. `pool` is how many database connections it may hold."""
    engine = create_database_engine(database_url, pool_size=pool)
    bells = Bells(redis_url)
    sessions = create_sessions(engine, bells=bells)
    # Only a sandbox may run ahead of the real time.
    clock = Clock(settings.var_dir / "clock" if settings.sandbox else None)
    redis = None
    if redis_url:
        redis = Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=2)
    tokens = TokenStore(sessions, settings.secret_key, clock)
    gateway = Gateway(
        settings.wecom,
        tokens=tokens,
        limiter=Limiter(redis, sessions),
        clock=clock,
    )
    carriers = build_carriers(settings, tokens)
    return Bot(settings, clock, engine, sessions, gateway, bells, carriers)


def build_carriers(settings: Settings, tokens: TokenStore) -> dict[str, Carrier]:
    """The ways to people beside WeCom that are configured."""
    carriers: dict[str, Carrier] = {}
    if settings.sms is not None:
        carriers["sms"] = SmsCarrier(
            settings.sms, lambda sealed: mobiles.open_mobile(sealed, settings.secret_key)
        )
    if settings.official_account is not None:
        carriers["official_account"] = OfficialAccount(settings.official_account, tokens=tokens)
    return carriers


def create_app(bot: Bot | None = None) -> Flask:
    """The web process: callback, events API, console, H5; in sandbox mode the phones beside it.

    Without `bot` everything comes from the environment, as a WSGI server wants it.
    """
    if bot is None:
        settings = Settings.from_env()
        servers = Servers.attach_or_start(settings)
        bot = build_bot(settings, servers.database_url, servers.redis_url, pool=16)
    app = Flask("handlers", static_folder=None)
    web.prepare(app, bot)
    for door in DOORS:
        app.register_blueprint(door)
    if bot.settings.sandbox:
        sandbox = create_sandbox(sandbox_config(bot))
        # At once, not with the first look at the phones: callbacks of last time may still wait.
        sandbox.extensions["sandbox"].postman.start()
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/sandbox": sandbox})  # type: ignore[method-assign]
    if bot.settings.public_base_url.startswith("https://"):
        app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)  # type: ignore[method-assign]
    return app


def sandbox_config(bot: Bot) -> SandboxConfig:
    """The pretend corp that knows this installation's secrets and addresses."""
    settings = bot.settings
    own = f"http://127.0.0.1:{settings.port}"

    def night(day: date) -> None:
        timetable.run_now(bot, "nightly", day)

    def morning(day: date) -> None:
        timetable.run_now(bot, "morning", day)

    return SandboxConfig(
        db_path=settings.var_dir / "sandbox.db",
        corp_id=settings.wecom.corp_id,
        agent_id=settings.wecom.agent_id,
        app_secret=settings.wecom.app_secret,
        callback_token=settings.wecom.callback_token,
        callback_aes_key=settings.wecom.callback_aes_key,
        callback_url=f"{own}/wecom/callback",
        events_url=f"{own}/api/v1/events",
        events_secret=settings.events_secret,
        clock=bot.clock,
        public_base_url=f"{settings.public_base_url}/sandbox",
        accept_after=2.0,
        trusted_domains=(f"127.0.0.1:{settings.port}", f"localhost:{settings.port}"),
        on_night=night,
        on_morning=morning,
        sms_account=settings.sms.account if settings.sms else "",
        sms_secret=settings.sms.secret if settings.sms else "",
        sms_reports_url=f"{own}/api/v1/sms",
        official_account_app_id=(
            settings.official_account.app_id if settings.official_account else ""
        ),
        official_account_secret=(
            settings.official_account.secret if settings.official_account else ""
        ),
    )


def main() -> None:
    """The `daogou` command."""
    sys.exit(commands.main(sys.argv[1:], commands.Roof(build_bot, create_app, sandbox_config)))


if __name__ == "__main__":
    main()
