"""Where the real data lies that some tests are run on, if it is there."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason=f"real data not found at {SHARED / 'data'}: nothing to try it on"
)
