"""The notebook of examples/: its cells run from top to bottom on what the demo makes, here at toy size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toy import CHANGES, toy_store

from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import Data
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "quickstart.ipynb"

RUN = """
import ast, json, sys
names = {"__name__": "__main__"}
for cell in json.loads(open(sys.argv[1], encoding="utf-8").read())["cells"]:
    if cell["cell_type"] == "code":
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, cell["id"], "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)
            print(cell["id"], "shows", len(value._repr_html_()) if hasattr(value, "_repr_html_") else value)
"""


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The folder in which ``coarseparts demo`` was called."""
    data = Data("demo", lambda seed: toy_store(tmp_path / "store"), "val")
    chosen = resolve(settings(changes=CHANGES | {"em_epochs": 1}), "cpu")
    compare(lambda: data, chosen, ["em"], [0], tmp_path / "runs" / "demo", title="toy", parts=8, seed_folders=True)
    return tmp_path


def test_every_cell_of_the_notebook_runs_and_results_show_themselves(demo: Path) -> None:
    pytest.importorskip("skimage")
    done = subprocess.run([sys.executable, "-c", RUN, NOTEBOOK], cwd=demo, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" shows ") >= 5 and "part mIoU" in done.stdout and "doubtful" in done.stdout


def test_the_notebook_is_committed_without_results_or_paths() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["nbformat"] == 4 and len(code) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert "/home/" not in NOTEBOOK.read_text(encoding="utf-8")
