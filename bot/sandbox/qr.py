"""A picture that looks like a QR code and is scanned inside the sandbox only, by its address."""

from __future__ import annotations

import hashlib

_SIZE = 29


def picture(text: str) -> str:
    """An SVG of 29 by 29 dots with the three corner eyes; the same text gives the same picture."""
    bits = b"".join(hashlib.sha256(f"{text}/{row}".encode()).digest() for row in range(_SIZE))
    dots = [
        f"<rect x='{x + 2}' y='{y + 2}' width='1' height='1'/>"
        for y in range(_SIZE)
        for x in range(_SIZE)
        if not _in_eye(x, y) and bits[y * 32 + x] & 1
    ]
    eyes = [_eye(2, 2), _eye(_SIZE - 5, 2), _eye(2, _SIZE - 5)]
    box = _SIZE + 4
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {box} {box}' "
        f"shape-rendering='crispEdges'><rect width='{box}' height='{box}' fill='#fff'/>"
        f"{''.join(dots)}{''.join(eyes)}</svg>"
    )


def _in_eye(x: int, y: int) -> bool:
    return ((x < 8 or x >= _SIZE - 8) and y < 8) or (x < 8 and y >= _SIZE - 8)


def _eye(x: int, y: int) -> str:
    return (
        f"<path fill-rule='evenodd' d='M{x} {y}h7v7h-7zM{x + 1} {y + 1}v5h5v-5z'/>"
        f"<rect x='{x + 2}' y='{y + 2}' width='3' height='3'/>"
    )
