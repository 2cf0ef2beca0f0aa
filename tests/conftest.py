"""Shared by all tests: where the real data lies, if it is there; one thread, for toys are slower with more."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the commands that tests start, too

import pytest
import torch

torch.set_num_threads(1)

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason=f"real data not found at {SHARED / 'data'}: nothing to try it on"
)


@pytest.fixture(scope="session")
def ants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that docs/library.md is written in: ants.yaml, runs/ants, photo.jpg, photos/, mask.png."""
    from toy import write_ants  # here, for it takes a while to import

    folder = tmp_path_factory.mktemp("ants")
    write_ants(folder)
    return folder
