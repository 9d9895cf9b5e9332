"""Whose turn it is (排队): enrolling, planning and publishing wait in the line of the tag rules."""

from __future__ import annotations

from tagging.turn import take

__all__ = ["take"]
