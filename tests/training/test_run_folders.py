"""A run folder may come from anybody: what is damaged, of another run, or leads out of it is named and not used."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.system.errors import DamagedRun, RunError
from coarseparts.training import claims
from coarseparts.training.checkpoints import Stage
from coarseparts.training.networks import build, resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings


def untrained(seed: int) -> Model:
    torch.manual_seed(seed)
    chosen = resolve(settings(changes={"encoder": "resnet10", "label_width": 4}), "cpu")
    styles = ["keypoints", "mask"]
    crop = {"to": "none", "margin": 0.0}
    return Model(build(birds.SCHEMA, chosen, styles), birds.SCHEMA, chosen, styles, 32, crop, True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(f"model{seed}") for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        untrained(seed).save(folder)
    return folders


@pytest.fixture
def model(saved, tmp_path):
    for file in saved[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_what_was_saved_is_loaded(model):
    loaded = Model.load(model)
    assert loaded.size == 32 and loaded.styles == ["keypoints", "mask"]
    weights = untrained(0).networks.part_model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in loaded.networks.part_model.state_dict().items())


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def noise(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(500))


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def leads_out(file: Path) -> None:
    other = file.parent.parent / f"elsewhere-{file.name}"
    other.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(other)


def circle(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


@pytest.mark.parametrize("damage", [truncated, empty, noise, folder, pipe, leads_out, circle])
@pytest.mark.parametrize("name", ["model.json", "part_model.safetensors", "posterior.safetensors"])
def test_a_damaged_file_of_a_model_is_named(model, name, damage):
    damage(model / name)
    with pytest.raises(DamagedRun, match=rf"{name}: .+"):
        Model.load(model)


def another_weight(file: Path) -> None:
    """A bit of a number flips, which stays a number."""
    content = bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)


def promises_ten_terabytes(file: Path) -> None:
    header = {"x": {"dtype": "F32", "shape": [2_500_000_000_000], "data_offsets": [0, 10_000_000_000_000]}}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)


def test_a_weight_that_changed_on_the_disk_is_told(model):
    another_weight(model / "posterior.safetensors")
    with pytest.raises(DamagedRun, match=r"posterior\.safetensors: .*its weights are not those that were written"):
        Model.load(model)


def test_a_model_json_that_was_changed_is_told(model):
    said = json.loads((model / "model.json").read_text())
    said["schema"]["keypoints"][0] = "nose"
    (model / "model.json").write_text(json.dumps(said, indent=1))
    with pytest.raises(DamagedRun, match=r"model\.json: is not what was written with the weights beside it"):
        Model.load(model)


def has_no_numbers(file: Path) -> None:
    tensors = load_file(file)
    name = next(key for key, value in tensors.items() if value.is_floating_point() and value.numel() > 3)
    tensors[name].view(-1)[3] = float("nan")
    save_file(tensors, file)


def lacks_a_name(file: Path) -> None:
    tensors = load_file(file)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, file)


def has_another_shape(file: Path) -> None:
    tensors = load_file(file)
    name = next(key for key, value in tensors.items() if value.dim() == 4 and value.shape[2] > 1)
    save_file(tensors | {name: tensors[name][:, :, :1].contiguous()}, file)


def has_another_type(file: Path) -> None:
    tensors = load_file(file)
    name = next(key for key, value in tensors.items() if value.dim() == 4)
    save_file(tensors | {name: tensors[name].half()}, file)


WRONG = [promises_ten_terabytes, has_no_numbers, lacks_a_name, has_another_shape, has_another_type]


@pytest.mark.parametrize("damage", WRONG)
def test_weights_that_are_not_those_of_the_model_are_refused_whole(model, damage):
    damage(model / "part_model.safetensors")
    with pytest.raises(DamagedRun, match=r"part_model"):
        Model.load(model)


@pytest.mark.parametrize("name", ["part_model.safetensors", "posterior.safetensors", "model.json"])
def test_files_of_two_models_are_not_taken_for_one(saved, model, name):
    (model / name).write_bytes((saved[1] / name).read_bytes())
    with pytest.raises(DamagedRun, match=r"is of another model than model\.json"):
        Model.load(model)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 99),
        (("size",), 10**9),
        (("size",), "32"),
        (("settings", "label_width"), 10**9),
        (("settings", "encoder"), "resnet999"),
        (("settings", "nonsense"), 1),
        (("schema", "parts"), ["head", "tail"]),
        (("schema", "parts"), [f"part{i}" for i in range(100_000)]),
        (("schema", "keypoints"), 7),
        (("styles",), ["smell"]),
        (("styles",), ["mask"]),
        (("crop",), {"to": "moon"}),
        (("has_posterior",), "maybe"),
    ],
)
def test_what_model_json_says_is_checked_before_anything_is_built(model, place, value):
    found = json.loads((model / "model.json").read_text())
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (model / "model.json").write_text(json.dumps(found))
    with pytest.raises(DamagedRun, match=r"model\.json: .+"):
        Model.load(model)


# ---- stages ---------------------------------------------------------------------------------------------------------


def stage(folder: Path, run: str = "run", width: int = 3) -> Stage:
    torch.manual_seed(0)
    module = nn.Linear(width, 2)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    made = Stage(folder, {"net": module}, [optimizer], 5, run)
    if not made.epoch:
        module(torch.ones(1, width)).sum().backward()
        optimizer.step()
    return made


@pytest.fixture
def trained(tmp_path):
    made = stage(tmp_path / "stages" / "em")
    for epoch, score in enumerate((0.5, 0.7, 0.6), 1):
        made.close_epoch(epoch, score, {"loss": 1.0 / epoch})
    return tmp_path / "stages" / "em"


def test_a_stage_goes_on_where_it_was(trained):
    again = stage(trained)
    assert (again.epoch, again.best_epoch, again.best_score, len(again.history)) == (3, 2, 0.7, 3)
    again.load_best()


@pytest.mark.parametrize(
    ("best", "patience", "ends"), [(1, 0.2, 7), (1, 0.0, 10), (4, 0.2, 7), (6, 0.2, 8), (9, 0.2, 10), (1, 1.0, 10)]
)
def test_a_patient_stage_ends_where_nothing_better_comes_behind_its_first_half(tmp_path, best, patience, ends):
    module = nn.Linear(1, 1)
    made = Stage(tmp_path / "em", {"net": module}, [torch.optim.AdamW(module.parameters())], 10, "run", patience)
    while not made.finished:
        made.close_epoch(made.epoch + 1, -abs(made.epoch + 1 - best), {})
    assert (made.epoch, made.best_epoch) == (ends, best)
    again = Stage(tmp_path / "em", {"net": module}, [torch.optim.AdamW(module.parameters())], 10, "run", patience)
    assert again.finished and again.epoch == ends


@pytest.mark.parametrize(("decay", "ends"), [(0.0, 7), (0.5, 7), (1.0, 7), (0.3, 9)])
def test_no_stage_loses_its_patience_before_the_rates_fall(tmp_path, decay, ends):
    folder = RunFolder(tmp_path / "run", {}, "{}", None, 0.2, decay)
    module = nn.Linear(1, 1)
    made = folder.stage("em", {"net": module}, [torch.optim.AdamW(module.parameters())], 10)
    while not made.finished:
        made.close_epoch(made.epoch + 1, -made.epoch, {})
    assert (made.epoch, made.best_epoch) == (ends, 1)


@pytest.mark.parametrize("damage", [truncated, empty, noise])
def test_a_damaged_checkpoint_is_named_with_what_to_delete(trained, damage):
    damage(trained / "state.pt")
    with pytest.raises(DamagedRun, match=r"em/state\.pt: cannot be read .*; delete .*em to train this stage anew"):
        stage(trained)


@pytest.mark.parametrize("damage", [truncated, empty, noise, has_no_numbers, another_weight, promises_ten_terabytes])
def test_damaged_best_weights_are_named(trained, damage):
    damage(trained / "best.safetensors")
    with pytest.raises(DamagedRun, match=r"em/best\.safetensors: cannot be read"):
        stage(trained).load_best()


def test_a_checkpoint_of_another_run_is_none_of_this(trained):
    with pytest.raises(DamagedRun, match=r"state\.pt: cannot be read \(it is of another run\)"):
        stage(trained, "another")
    (trained / "state.pt").unlink()
    with pytest.raises(DamagedRun, match=r"best\.safetensors: cannot be read \(it is of another run\)"):
        stage(trained, "another").load_best()


def test_an_older_best_epoch_is_not_taken_for_the_best(trained):
    older = (trained / "best.safetensors").read_bytes()
    made = stage(trained)
    made.close_epoch(4, 0.9, {})
    (trained / "best.safetensors").write_bytes(older)
    with pytest.raises(DamagedRun, match="it is of epoch 2, the best one is 4"):
        stage(trained).load_best()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epoch", 99),
        ("epoch", "3"),
        ("epoch", -1),
        ("best", (4, 0.7)),
        ("best", (2, float("nan"))),
        ("best", None),
        ("seconds", float("inf")),
        ("history", [(9, "loss", 1.0)]),
        ("history", 3),
        ("version", 99),
        ("modules", {}),
        ("modules", {"net": {"weight": torch.full((2, 3), float("nan")), "bias": torch.zeros(2)}}),
        ("modules", {"net": {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}}),
        ("optimizers", []),
    ],
)
def test_a_checkpoint_that_makes_no_sense_changes_nothing(trained, key, value):
    state = torch.load(trained / "state.pt", weights_only=True)
    torch.save(state | {key: value}, trained / "state.pt")
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(DamagedRun, match=r"state\.pt"):
        Stage(trained, {"net": module}, [torch.optim.AdamW(module.parameters(), lr=0.1)], 5, "run")
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("what", ["shape", "rate", "number"])
def test_an_optimizers_state_that_would_fail_a_step_later_is_refused_now(trained, what):
    state = torch.load(trained / "state.pt", weights_only=True)
    saved = state["optimizers"][0]
    if what == "shape":
        saved["state"][0]["exp_avg"] = torch.zeros(7)
    elif what == "rate":
        saved["param_groups"][0]["lr"] = float("nan")
    else:
        saved["state"][0]["exp_avg"] = torch.full((2, 3), float("inf"))
    torch.save(state, trained / "state.pt")
    with pytest.raises(DamagedRun, match=r"state\.pt: cannot be read \(the optimizer's"):
        stage(trained)


# ---- the folder -----------------------------------------------------------------------------------------------------


def test_a_damaged_log_beside_an_intact_checkpoint_costs_nothing(trained):
    root = trained.parent.parent
    for name in ("metrics.csv", "schema.json"):
        (root / name).write_bytes(b"\x00\xff damaged")
    run = RunFolder(root / "again", {"seed": 0}, "{}")
    assert (run.path / "schema.json").read_text() == "{}"
    (run.path / "schema.json").write_text("{")
    assert RunFolder(root / "again", {"seed": 0}, "{}") and (run.path / "schema.json").read_text() == "{}"


@pytest.mark.parametrize("text", ["", "[", "- 1", "a: 1\na: 2", "&a [*a]", "\x00"])
def test_a_damaged_config_is_named(tmp_path, text):
    RunFolder(tmp_path, {"seed": 0}, "{}")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DamagedRun, match=r"config\.yaml: cannot be read"):
        RunFolder(tmp_path, {"seed": 0}, "{}")


def test_everything_that_is_not_what_it_should_be_is_named_at_once(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    (tmp_path / "results.csv").mkdir()
    (tmp_path / "stages").touch()
    os.mkfifo(tmp_path / "report.html")
    (tmp_path / "model").symlink_to("/etc")
    (tmp_path / "store").symlink_to("/tmp")  # a cache may lie on another disk
    with pytest.raises(DamagedRun) as wrong, claims.claimed(tmp_path):
        pass
    lines = str(wrong.value).splitlines()
    assert len(lines) == 4 and all("; remove it" in line or "; put a copy there" in line for line in lines)
    assert {Path(line.split(": ")[0]).name for line in lines} == {"results.csv", "stages", "report.html", "model"}


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "results.csv").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(RunError, match="is a link"):
        claims.write(tmp_path / "results.csv", "text")
    assert (tmp_path / "mine.txt").read_text() == "precious"
