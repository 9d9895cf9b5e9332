"""The world for every scenario."""

from __future__ import annotations

from tests.world import world, world_without_redis

__all__ = ["world", "world_without_redis"]
