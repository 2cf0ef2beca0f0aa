"""Shared by all tests: one thread, for toys are slower with more; the folder that the docs are written in."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the commands that tests start, too

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that docs/library.md is written in: ants.yaml, runs/ants, photo.jpg, photos/, mask.png."""
    from toy import write_ants  # here, for it takes a while to import

    folder = tmp_path_factory.mktemp("ants")
    write_ants(folder)
    return folder
