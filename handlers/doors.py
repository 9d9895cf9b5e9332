"""DOORS: the blueprints that the web app mounts; a new page family is one line here."""

from __future__ import annotations

from flask import Blueprint

from handlers import api, callback, console, h5, sms_reports

DOORS: tuple[Blueprint, ...] = (
    callback.bp,
    api.bp,
    sms_reports.bp,
    console.bp,
    h5.bp,
)
