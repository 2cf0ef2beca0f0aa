"""The function that cvat-sdk's automatic annotation calls, judged by its own driver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judges import JUDGES
from PIL import Image

import coarseparts
from coarseparts.data.synthetic import birds
from coarseparts.system.errors import Failed

SCRIPT = """
import json, logging, sys
from types import SimpleNamespace
sys.path.append(sys.argv[1])  # behind our own libraries
import cvat_sdk.models as models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper
from PIL import Image
from coarseparts.integrations.cvat import create

function = create(sys.argv[2], "cpu")
none = {"type": "any", "attributes": [], "sublabels": []}
labels = [models.Label(id=100 + label.id, name=label.name, **none) for label in function.spec.labels]
said = {}
for polygons in (False, True):
    mapper = _AnnotationMapper(logging.getLogger(), function.spec.labels, labels, allow_unmatched_labels=False,
                               conv_mask_to_poly=polygons)
    context = SimpleNamespace(frame_name="bird.png", conf_threshold=None, conv_mask_to_poly=polygons)
    _, shapes = mapper.validate_and_remap(function.detect(context, Image.open(sys.argv[3])), 5)
    said[str(polygons)] = [(shape.label_id - 100, shape.type.value, shape.points, shape.frame) for shape in shapes]
context = SimpleNamespace(frame_name="bird.png", conf_threshold=1.0, conv_mask_to_poly=False)
said["sure"] = len(function.detect(context, Image.open(sys.argv[3])))
print(json.dumps(said))
"""


def packages() -> str:
    """Where the judges' libraries lie; skips where there is no cvat-sdk."""
    code = "import cvat_sdk, sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([JUDGES, "-c", code], capture_output=True, text=True) if JUDGES else None
    if done is None or done.returncode:
        pytest.skip("COARSEPARTS_JUDGES names no Python with cvat-sdk: nobody to ask")
    return done.stdout.strip()


def test_cvats_driver_takes_the_masks_and_the_polygons(toy_run: Path, tmp_path: Path) -> None:
    Image.fromarray(birds.render(1, size=64, seed=4)["image"][0]).save(tmp_path / "bird.png")
    command = [sys.executable, "-c", SCRIPT, packages(), str(toy_run), str(tmp_path / "bird.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    parts = coarseparts.load(toy_run, "cpu").predict(tmp_path / "bird.png")
    drawn = np.zeros((64, 64), np.uint8)
    for label, kind, points, frame in said["False"]:
        assert (kind, frame) == ("mask", 5)
        *counts, left, top, right, bottom = map(int, points)
        runs = np.repeat(np.arange(len(counts)) % 2, counts)  # CVAT's code: lengths of 0s and 1s in turn, then the box
        box = runs.reshape(bottom - top + 1, right - left + 1) > 0
        drawn[top : bottom + 1, left : right + 1][box] = label
    assert np.array_equal(drawn, parts.index)
    assert {label for label, *_ in said["True"]} == set(np.unique(drawn)) - {0}
    assert {kind for _, kind, *_ in said["True"]} == {"polygon"}
    assert said["sure"] == 0, "parts below the threshold are left out"


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from untrained import saved

    return saved(tmp_path_factory.mktemp("run"))


def test_without_cvat_sdk_the_command_that_installs_it_is_told(toy_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coarseparts.integrations.cvat import create

    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(Failed, match="pip install cvat-sdk"):
        create(str(toy_run))
