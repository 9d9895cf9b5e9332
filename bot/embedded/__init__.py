"""PostgreSQL and Redis out of wheels, kept by our own supervisor (内置服务与进程总管)."""

from bot.embedded.servers import Servers
from bot.embedded.supervisor import Supervisor

__all__ = ["Servers", "Supervisor"]
