"""A brand without a touch gap, so that each test says itself which cap it is about."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from tests.factories import Make


@pytest.fixture
def make(session: Session) -> Make:
    make = Make(session)
    make.brand(touch_gap_days=0)
    return make
