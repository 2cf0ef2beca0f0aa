"""What using the library does to the process that uses it: ``import coarseparts`` costs little, nothing is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def in_a_fresh_process(code: str, *arguments: object) -> list[str]:
    """The lines that a program prints; each runs with the package of this checkout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    environment.pop("THP_MEM_ALLOC_ENABLE", None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_importing_it_costs_little_and_loads_nothing_large() -> None:
    code = "import time; before = time.process_time(); import coarseparts; print(time.process_time() - before)\n"
    code += "import sys; print(sorted({'torch', 'numpy', 'pydantic', 'PIL', 'rich', 'typer'} & set(sys.modules)))"
    took, loaded = in_a_fresh_process(code)
    assert float(took) < 0.3 and loaded == "[]"


def test_check_and_the_error_need_no_torch() -> None:
    code = "import sys, coarseparts\ntry:\n    coarseparts.check('nowhere.yaml')\n"
    code += "except coarseparts.CoarsepartsError as error:\n    print(error)\nprint('torch' in sys.modules)"
    told, torch = in_a_fresh_process(code)
    assert "nowhere.yaml" in told and torch == "False"


def test_every_public_name_is_there_and_a_wrong_one_is_told() -> None:
    import coarseparts

    for name in coarseparts.__all__:
        assert getattr(coarseparts, name) is not None and name in dir(coarseparts)
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = coarseparts.laod
    assert (ROOT / "coarseparts" / "py.typed").is_file()


HOST = """
import sys
import torch, timm, torchvision, numpy, scipy, PIL.Image, pydantic, rich.console, pycocotools.mask, safetensors.torch
import filelock, matplotlib.font_manager  # what these change is theirs
import json, locale, logging, os, random, signal, threading, warnings
from pathlib import Path

def host():
    signals = {str(s): str(signal.getsignal(s)) for s in signal.valid_signals()}
    return {
        "random": random.getstate(), "numpy": str(numpy.random.get_state()), "torch": torch.get_rng_state().tolist(),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()], "cwd": os.getcwd(),
        "default": [str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.get_float32_matmul_precision()],
        "backends": [torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()],
        "filters": [str(f) for f in warnings.filters], "environment": dict(os.environ), "signals": signals,
        "logging": [logging.root.level, str(logging.root.handlers), logging.root.manager.disable],
        "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.stdout), locale.setlocale(locale.LC_ALL)],
        "path": sys.path[:], "numpy errors": numpy.geterr(), "bombs": PIL.Image.MAX_IMAGE_PIXELS,
    }

before = host()
"""

USE = """
import coarseparts
root = Path(sys.argv[1])
for _ in range(2):  # twice in one process
    model = coarseparts.load(root / "runs" / "ants", device="cpu")
    parts = model.predict([root / "photo.jpg", numpy.zeros((40, 30, 3), numpy.uint8)], box=[(4, 4, 20, 20), None])
    parts[0].overlay(), parts[0].probability, parts[0].masks, repr(parts[0]), parts[0]._repr_html_()
    coarseparts.check(root / "ants.yaml")
    coarseparts.evaluate(root / "runs" / "ants", device="cpu")
    try:
        model.predict(root / "photo.jpg", box=(1, 2, 3))
    except coarseparts.CoarsepartsError:
        pass
after = host()
print(json.dumps([key for key in before if before[key] != after[key]]), threading.active_count())
"""


def test_the_host_stays_as_it_was_and_nothing_is_printed(ants: Path) -> None:
    (said,) = in_a_fresh_process(HOST + USE, ants)
    assert said == "[] 1"


def test_importing_it_changes_nothing(tmp_path: Path) -> None:
    code = HOST + "import coarseparts\nafter = host()\nprint([key for key in before if before[key] != after[key]])"
    assert in_a_fresh_process(code) == ["[]"]


def test_huge_pages_are_asked_for_by_the_command_alone() -> None:
    code = "import os, coarseparts; print(os.environ.get('THP_MEM_ALLOC_ENABLE'))\n"
    code += "from coarseparts.system.memory import use_huge_pages; use_huge_pages()\n"
    code += "print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    assert in_a_fresh_process(code) == ["None", "1"]
