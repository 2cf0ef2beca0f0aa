"""Export: files that say what the model says, with any subset of labels, and folders that are read back."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from untrained import saved

import coarseparts
from coarseparts.data.crops import crop_and_resize
from coarseparts.data.sample import Sample
from coarseparts.data.synthetic import birds
from coarseparts.export import files, onnx_file, verify
from coarseparts.export.files import export
from coarseparts.export.graph import styles_of
from coarseparts.export.inputs import INPUTS
from coarseparts.export.resize import Square
from coarseparts.labels import STYLES, ExclusiveParts
from coarseparts.labels.frames import CropFrame
from coarseparts.labels.part_maps import maps_of
from coarseparts.networks import SeparatePosteriors
from coarseparts.system.errors import DamagedRun, Failed, RunError, WrongArgument

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("export") / "run", crop="none")


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(run, "onnx", run.parent / "onnx").folder


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    return [np.ascontiguousarray(image[:48]) for image in birds.render(3, size=64, seed=4)["image"]]


def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize(
    "shape", [(48, 64), (64, 48), (32, 32), (1, 1), (1, 7), (33, 31), (300, 17), (301, 640), (700, 90)]
)
def test_photographs_and_planes_are_resized_to_the_bit_as_the_library_does(shape: tuple[int, int], size: int) -> None:
    random = np.random.default_rng(shape)
    image, mask = random.integers(0, 256, (*shape, 3), np.uint8), random.integers(0, 256, shape, np.uint8)
    strokes = np.where(random.random(shape) < 0.1, random.integers(0, 4, shape), 255).astype(np.uint8)
    ours = crop_and_resize(Sample("one", image, None, {"scribbles": strokes}), size, maps_of(False, 3))
    square, frame = Square.around(torch.from_numpy(image)[None], size), CropFrame(ours["crop"], size)
    assert np.array_equal(square.image(torch.from_numpy(image)[None])[0].movedim(0, -1).numpy(), ours["image"])
    means = square.area_mean(torch.from_numpy(mask)[None])[0].round().numpy()
    assert np.array_equal(means, np.rint(frame.area_mean(mask)))
    if ours["scribbles"] is not None:
        assert np.array_equal(square.strokes(torch.from_numpy(strokes)[None], 255)[0].numpy(), ours["scribbles"])


def test_every_label_style_can_be_exported() -> None:
    assert set(INPUTS) == set(STYLES)


def test_onnx_says_what_predict_says_for_every_subset_of_labels(
    run: Path, exported: Path, photographs: list[np.ndarray]
) -> None:
    model, file = coarseparts.load(run, "cpu"), session(exported / "with_labels.onnx")
    mask, strokes = np.zeros((48, 64), np.uint8), np.full((48, 64), 255, np.uint8)
    mask[6:40, 10:50], strokes[10:13, 12:30] = 255, 2
    points = np.full((len(model.schema.keypoints), 3), -1, np.float32)
    points[:3] = (20.5, 12.25, 2), (30, 40.5, 1), (0, 0, 0)
    boxes = np.zeros((3, 4), np.float32)
    boxes[0], boxes[2] = (10, 6, 30, 20), (8, 5, 52, 44)
    own = {
        "keypoints": points,
        "mask": mask,
        "box": np.float32([8, 5, 52, 44]),
        "part_boxes": boxes,
        "scribbles": strokes,
    }
    ours = {
        "keypoints": dict(zip(model.schema.keypoints, points[:3].tolist(), strict=False)),
        "mask": mask,
        "box": (8, 5, 52, 44),
        "part_boxes": {"head": (10, 6, 30, 20), "tail": (8, 5, 52, 44)},
        "scribbles": strokes,
    }
    about = json.loads((exported / "coarseparts.json").read_text())["files"]["with_labels.onnx"]["inputs"]
    subsets = [subset for n in range(len(own) + 1) for subset in combinations(own, n)]
    given = {"image": np.stack([photographs[0]] * len(subsets))}
    for name, label in own.items():
        none = np.full_like(label, about[name]["none"])
        given[name] = np.stack([label if name in subset else none for subset in subsets])
    for subset, probability in zip(subsets, file.run(None, given)[0], strict=True):
        expected = model.predict(photographs[0], **{name: ours[name] for name in subset}).prediction.probability
        assert np.abs(probability - expected).max() < 1e-4, subset


@pytest.mark.parametrize(("to", "overlapping"), [("onnx", True), ("torchscript", False), ("torchscript", True)])
@pytest.mark.parametrize("flip", [True, False])
def test_both_kinds_of_parts_and_looking_twice_are_checked_in_both_formats(
    to: str, overlapping: bool, flip: bool, tmp_path: Path
) -> None:
    done = export(saved(tmp_path / "run", overlapping=overlapping), to, tmp_path / "out", flip=flip)
    assert len(done.difference) == 2 and max(done.difference.values()) < 1e-4
    about = json.loads((tmp_path / "out" / "coarseparts.json").read_text())
    assert (about["flip"], about["overlapping"], about["size"]) == (flip, overlapping, 32)
    assert set(about["files"]) == set(done.difference)


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
@pytest.mark.parametrize("zoom", [0.5, 1.5, 2])
def test_a_model_of_every_effort_which_zooms_is_exported(to: str, zoom: float, tmp_path: Path) -> None:
    done = export(saved(tmp_path / "run", zoom=zoom), to, tmp_path / "out")
    assert len(done.difference) == 2 and max(done.difference.values()) < 1e-4


class Operators(torch.nn.Module):
    """Those that the exporter lacks, or writes so that they underflow."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        smaller = (
            torch.nn.functional.interpolate(x, size=(5, 7), mode=m, antialias=True) for m in ("bilinear", "bicubic")
        )
        return torch.nn.functional.logsigmoid(x), torch.logaddexp(x, -x), *smaller


def test_operators_that_the_exporter_lacks_are_written_exactly(tmp_path: Path) -> None:
    x = torch.linspace(-200, 200, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    with onnx_file._own_operators(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Operators(), (x,), str(tmp_path / "x.onnx"), dynamo=False, opset_version=onnx_file.OPSET)
    (name,) = (each.name for each in session(tmp_path / "x.onnx").get_inputs())
    for found, expected in zip(session(tmp_path / "x.onnx").run(None, {name: x.numpy()}), Operators()(x), strict=True):
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_networks_that_cannot_be_written_are_told_in_a_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ExclusiveParts, "log_probability", lambda self, logits: torch.special.i1(logits))
    with pytest.raises(Failed, match=r"cannot be written as ONNX \(.*special_i1.*take --to torchscript"):
        export(run, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists() and len(capfd.readouterr().out) < 1000


def test_any_number_of_photographs_of_any_size_go_in(run: Path, exported: Path) -> None:
    model, file = coarseparts.load(run, "cpu"), session(exported / "part_model.onnx")
    for count, height, width in ((1, 20, 200), (4, 131, 77)):
        images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
        found = file.run(None, {"image": images})[0]
        assert found.shape == (count, 4, 32, 32)
        for one, image in zip(found, images, strict=True):
            assert np.abs(one - model.predict(image).prediction.probability).max() < 1e-4


def test_a_torchscript_file_needs_nothing_of_this_package(run: Path, tmp_path: Path) -> None:
    export(run, "torchscript", tmp_path)
    code = (
        "import sys, torch; m = torch.jit.load(sys.argv[1]); print(m(torch.zeros(2, 9, 5, 3, dtype=torch.uint8)).shape)"
    )
    code += "; assert 'coarseparts' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "part_model.pt"], capture_output=True, text=True)
    assert "[2, 4, 32, 32]" in done.stdout, done.stderr


def test_the_onnx_file_describes_itself(exported: Path) -> None:
    about = json.loads(session(exported / "part_model.onnx").get_modelmeta().custom_metadata_map["coarseparts"])
    assert about["parts"] == ["head", "wing", "tail"] and about["inputs"]["image"]["type"] == "uint8"
    assert len(about["colours"]) == 3


def test_a_file_that_says_something_else_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = files.runs_torchscript
    monkeypatch.setattr(files, "runs_torchscript", lambda content: lambda inputs: runs(content)(inputs) + 1e-3)
    with pytest.raises(Failed, match=r"part_model.pt: probabilities differ by 0.001 .* nothing was written"):
        export(run, "torchscript", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_says_nan_is_not_right(run: Path) -> None:
    model = coarseparts.load(run, "cpu")
    graph = files.Graph(model, (), False)
    assert verify.difference(model, graph, lambda inputs: np.full((len(inputs[0]), 4, 32, 32), np.nan)) == np.inf


def test_models_without_a_posterior_have_a_part_model_alone(tmp_path: Path) -> None:
    told: list[str] = []
    done = export(saved(tmp_path / "run", posterior=False), "torchscript", tmp_path / "out", tell=told.append)
    assert [file.name for file in done.files] == ["part_model.pt", "coarseparts.json"]
    assert any("it has no posterior" in line for line in told)


def test_one_posterior_for_each_subset_of_labels_is_no_single_graph(run: Path) -> None:
    model = coarseparts.load(run, "cpu")
    assert styles_of(model) == tuple(STYLES)
    single = model.networks.posterior
    model.networks.posterior = SeparatePosteriors(1, lambda: single)
    assert styles_of(model) == ()


def test_a_hub_folder_is_read_back_as_the_same_model(run: Path, tmp_path: Path, photographs: list[np.ndarray]) -> None:
    export(run, "hub-folder", tmp_path / "hub")
    assert sorted(p.name for p in (tmp_path / "hub").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    ours, again = coarseparts.load(run, "cpu"), coarseparts.load(tmp_path / "hub", "cpu")
    one, other = (model.predict(photographs[0], box=(8, 5, 52, 44)).probability for model in (ours, again))
    assert np.array_equal(one, other)


def test_a_hub_folder_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    run = saved(tmp_path / "run")
    model = coarseparts.load(run, "cpu")
    model.settings = model.settings.model_copy(update={"weights": "/home/somebody/secret/w.safetensors"})
    model.save(run / "model")
    export(run, "hub-folder", tmp_path / "hub")
    assert not any(b"somebody" in file.read_bytes() for file in (tmp_path / "hub").iterdir())
    assert coarseparts.load(tmp_path / "hub", "cpu").settings.weights == "w.safetensors"


def test_a_card_that_was_filled_in_stays(run: Path, tmp_path: Path) -> None:
    export(run, "hub-folder", tmp_path / "hub")
    (tmp_path / "hub" / "README.md").write_text("mine")
    told: list[str] = []
    export(run, "hub-folder", tmp_path / "hub", tell=told.append)
    assert (tmp_path / "hub" / "README.md").read_text() == "mine" and "stays as it is" in told[0]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda content: content.replace(b'"coarseparts"', b'"bert"')),
        ("config.json", lambda content: content.replace(b'"size": 32', b'"size": 48')),
        ("config.json", lambda content: content[:-9]),
        ("model.safetensors", lambda content: content[:-4] + b"\0\0\0\0"),
        ("model.safetensors", lambda content: content[:100]),
    ],
)
def test_a_damaged_hub_folder_is_told_by_the_file(name: str, change, run: Path, tmp_path: Path) -> None:
    export(run, "hub-folder", tmp_path)
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(DamagedRun, match=name):
        coarseparts.load(tmp_path, "cpu")


def test_a_folder_of_other_things_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="holds other things than an export"):
        export(run, "hub-folder", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    for config in ('{"model_type": "bert"}', "[]", "{"):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(RunError, match="holds other things than an export"):
            export(run, "hub-folder", tmp_path)
        assert (tmp_path / "config.json").read_text() == config


def test_nothing_of_an_earlier_export_stays_beside_a_new_one(run: Path, tmp_path: Path) -> None:
    export(run, "torchscript", tmp_path / "out")
    for name in ("part_model.onnx", "part_model_int8.onnx", "notes.txt"):
        (tmp_path / "out" / name).write_text("of a model before")
    files = {file.name for file in export(run, "torchscript", tmp_path / "out").files}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files | {"notes.txt"}


def test_an_unknown_format_and_a_folder_without_a_model_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongArgument, match="did you mean 'onnx'"):
        export(run, "onx", tmp_path / "out")
    with pytest.raises(RunError, match="holds no trained model"):
        export(tmp_path, "hub-folder", tmp_path / "out")


def test_onnx_that_is_not_installed_is_told_with_the_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = builtins.__import__

    def lacking(name: str, *rest):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name=name)
        return there(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(Failed, match=r"onnxruntime is not installed.*pip install 'coarseparts\[onnx\]'"):
        export(run, "onnx", tmp_path / "out")


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_example_needs_numpy_pillow_and_onnxruntime_alone(
    overlapping: bool, run: Path, exported: Path, photographs: list[np.ndarray], tmp_path: Path
) -> None:
    if overlapping:
        run = saved(tmp_path / "run", overlapping=True, crop="none")
        exported = export(run, "onnx", tmp_path / "onnx").folder
    picture = Image.fromarray(photographs[0]).resize((640, 480))
    if not overlapping:  # laid over white, as ours is
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(tmp_path / "photo.png")
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); assert not {'torch', 'coarseparts'} & set(sys.modules)"
    code = code.replace("runpy.run_path(sys.argv[1])", "file = sys.argv.pop(1); runpy.run_path(file)")
    command = [sys.executable, "-c", code, EXAMPLES / "onnx_predict.py", exported, "photo.png", "parts.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = coarseparts.load(run, "cpu").predict(tmp_path / "photo.png")
    for number, (name, mask) in enumerate(ours.masks.items(), 1):
        found = tmp_path / (f"parts_{name}.png" if overlapping else "parts.png")
        shown = np.asarray(Image.open(found)) == (1 if overlapping else number)
        assert (shown != mask).mean() < 0.001, name
    assert done.stdout.startswith("head: ")


def test_the_command_writes_and_says_how_far_each_file_is_from_the_model(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coarseparts", "export", run, "--to", "torchscript", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "part_model.pt: probabilities differ by" in done.stdout
