"""What tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from page import chromium  # needs playwright, without which its tests are skipped

    with chromium() as browser:
        yield browser


@pytest.fixture
def app(tmp_path: Path) -> Any:
    from fake_app import FakeApp

    return FakeApp(tmp_path)
