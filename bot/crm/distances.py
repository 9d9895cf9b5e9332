"""How far apart two places are (距离), as SQL: the great-circle way between two points."""

from __future__ import annotations

_EARTH_KM = 6371.0088


def km(latitude: str, longitude: str, to_latitude: str, to_longitude: str) -> str:
    """Kilometers between two points, given as columns in degrees; NULL where one is not known."""
    north = f"sin(radians({to_latitude} - {latitude}) * 0.5)"
    east = f"sin(radians({to_longitude} - {longitude}) * 0.5)"
    across = f"cos(radians({latitude})) * cos(radians({to_latitude}))"
    half = f"({north} * {north} + {across} * ({east} * {east}))"
    # Rounding may leave a hair more than 1 at the other end of the world; NULL stays NULL.
    return f"(2 * {_EARTH_KM} * asin(sqrt(CASE WHEN {half} > 1 THEN 1 ELSE {half} END)))"
