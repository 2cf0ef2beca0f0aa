"""An ONNX file in 8 bits: nearly what the model says, smaller, measured on the photographs that it was made with."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from untrained import saved

import coarseparts
from coarseparts.data.synthetic import birds
from coarseparts.export import int8
from coarseparts.export.files import INT8, export
from coarseparts.system.errors import WrongArgument
from coarseparts.system.problems import BadInput


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(birds.render(5, size=64, seed=4)["image"]):
        Image.fromarray(image[:48]).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module", params=["exclusive", "overlapping"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("int8") / "run", crop="none", overlapping=request.param == "overlapping")


def test_it_says_nearly_what_the_model_says_and_is_described(run: Path, photos: Path, tmp_path: Path) -> None:
    done = export(run, "onnx", tmp_path / "out", int8=photos)
    file = tmp_path / "out" / INT8
    assert done.int8 is not None and file in done.files and done.int8.images == 5
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert {node.op_type for node in onnx.load(file).graph.node} >= {"QuantizeLinear", "DequantizeLinear"}
    images = int8.seen(coarseparts.load(run, "cpu"), photos)
    assert images.shape == (5, 32, 32, 3)
    (whole,) = onnxruntime.InferenceSession(done.folder / "part_model.onnx").run(None, {"image": images})
    (found,) = session.run(None, {"image": images})
    assert 0 < np.abs(found - whole).max() and np.abs(found - whole).mean() < 0.05
    ours, theirs = (p.argmax(1) if p.shape[1] == 4 else p > 0.5 for p in (whole, found))
    if whole.shape[1] == 4:
        either = (ours > 0) | (theirs > 0)
        assert done.int8.agreement == pytest.approx((ours == theirs)[either].mean())
    about = json.loads((done.folder / "coarseparts.json").read_text())["files"][INT8]
    assert about["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert about["agreement"] == done.int8.agreement and about["inputs"]["image"]["type"] == "uint8"


def test_of_many_photographs_some_are_looked_at(run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "MOST", 3)
    model = coarseparts.load(run, "cpu")
    every = [int8.seen(model, photo)[0] for photo in sorted(photos.iterdir())]
    assert np.array_equal(int8.seen(model, photos), np.stack([every[0], every[2], every[4]]))


def test_what_is_seen_of_an_object_is_its_crop(photos: Path, tmp_path: Path) -> None:
    model = coarseparts.load(saved(tmp_path / "run", crop="object"), "cpu")
    assert int8.seen(model, photos).shape == (5, 32, 32, 3)


def test_torchscript_a_folder_of_nothing_and_of_damage_are_refused_before_anything_is_written(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongArgument, match="int8: is for onnx, not for torchscript"):
        export(run, "torchscript", tmp_path / "out", int8=photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no image"):
        export(run, "onnx", tmp_path / "out", int8=tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BadInput, match=r"a\.png"):
        export(run, "onnx", tmp_path / "out", int8=tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_costs_and_gains(run: Path, photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coarseparts", "export", run, "--to", "onnx", "--int8", photos, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{INT8}: agrees with float32 on " in done.stdout and "ms in place of" in done.stdout
    assert "WARNING" not in done.stderr
