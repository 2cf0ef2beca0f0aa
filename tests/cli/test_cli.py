"""The command line from end to end on a toy, as a user types it: exit status, what is printed, what is written."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from commands import coarseparts
from PIL import Image
from pycocotools import mask as rle

from coarseparts.cli.main import VERBS
from coarseparts.data.synthetic import birds
from coarseparts.inference.evaluate import dataset_of, evaluate_store, split_of
from coarseparts.inference.model import load
from coarseparts.system.errors import RunError
from coarseparts.training.claims import claimed
from coarseparts.training.settings import settings

SMALL = [
    f"--set={key}={value}"
    for key, value in {
        "part_epochs": 2,
        "posterior_epochs": 1,
        "label_epochs": 1,
        "em_epochs": 2,
        "em_epoch_steps": 1,
        "label_steps": 2,
        "epoch_steps": 2,
        "part_batch": 4,
        "batch": 8,
        "labelled_batch": 4,
    }.items()
]


def write_photographs(folder: Path, first: int, count: int, parts: bool) -> None:
    """Birds as a user would have them: JPEG-like PNG images, part masks, and one COCO file."""
    made = birds.render(count, size=48, seed=3, first=first)
    (folder / "images").mkdir(parents=True)
    annotations, images = [], []
    for i in range(count):
        name = f"bird {first + i:03d}.png"  # a space, as users have them
        Image.fromarray(made["image"][i]).save(folder / "images" / name)
        if parts:
            (folder / "parts").mkdir(exist_ok=True)
            Image.fromarray(made["parts"][i]).save(folder / "parts" / name)
        code = rle.encode(np.asfortranarray(made["mask"][i] // 255))
        x0, y0, x1, y1 = (float(v) for v in made["box"][i])
        images.append({"id": i + 1, "file_name": name, "width": 48, "height": 48})
        annotations.append(
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "iscrowd": 0,
                "keypoints": [float(v) for v in made["keypoints"][i].ravel()],
                "segmentation": {"size": [48, 48], "counts": code["counts"].decode()},
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
        )
    categories = [{"id": 1, "name": "bird", "keypoints": list(birds.SCHEMA.keypoints)}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coarse.json").write_text(json.dumps(coco))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_photographs(root / "few", 0, 6, True)
    write_photographs(root / "many", 10, 16, False)
    write_photographs(root / "val", 50, 6, True)
    lines = [f"parts: {list(birds.SCHEMA.parts)}", "size: 32", "sources:"]
    for split, folder, masks in (("train", "few", True), ("train", "many", False), ("val", "val", True)):
        part = f", part_masks: {folder}/parts" if masks else ""
        lines.append(f"  - {{split: {split}, images: {folder}/images, coco: {folder}/coarse.json{part}}}")
    (root / "birds.yaml").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "em"
    coarseparts("train", data / "birds.yaml", "--out", out, *SMALL)
    return out


def test_check_counts_and_draws(data, tmp_path):
    done = coarseparts("check", data / "birds.yaml", "--json")
    assert "error" not in done.stderr.lower()
    assert json.loads(done.stdout)
    coarseparts("check", data / "birds.yaml", "--sheet", tmp_path / "sheet.png")
    assert min(Image.open(tmp_path / "sheet.png").size) > 100


def test_train_ends_with_a_table_and_a_report(run):
    rows = list(csv.DictReader(open(run / "results.csv")))
    assert [r["method"] for r in rows] == ["posterior", "em-posterior", "em"]
    assert all(0 <= float(r["ci95_low"]) <= float(r["part_miou"]) <= float(r["ci95_high"]) + 1e-6 for r in rows)
    page = (run / "report.html").read_text()
    assert "left_wing" in page and "data:image" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_command_again_trains_nothing_anew(run, data):
    state = run / "stages" / "em" / "state.pt"
    before, table = state.stat().st_mtime_ns, (run / "results.csv").read_text().splitlines()
    coarseparts("train", data / "birds.yaml", "--out", run, *SMALL)
    assert state.stat().st_mtime_ns == before
    assert (run / "results.csv").read_text().splitlines() == table


def test_evaluate_prints_one_json_object_that_agrees_with_the_table(run):
    found = json.loads(coarseparts("evaluate", run, "--split", "val", "--json").stdout)
    table = {r["method"]: float(r["part_miou"]) for r in csv.DictReader(open(run / "results.csv"))}
    assert found["images"] == 6 and set(found["iou"]) == set(birds.SCHEMA.parts)
    assert found["part_miou"] == pytest.approx(table["em"], abs=1e-3)
    assert found["pck"]["points"] > 6 and 0 <= found["pck"]["from_image"] <= 100
    posterior = json.loads(coarseparts("evaluate", run, "--model", "posterior", "--json").stdout)
    model = load(run)
    store, _ = split_of(model, dataset_of(run), "val")
    assert posterior["part_miou"] == evaluate_store(model, store, "val", "posterior", model.styles)["part_miou"]
    alone = evaluate_store(replace(model, shares={}), store, "val", "posterior", model.styles)
    assert alone["part_miou"] == pytest.approx(table["em-posterior"], abs=1e-3)


def test_predict_writes_part_maps_overlays_and_coco(run, data, tmp_path):
    out, coco = tmp_path / "parts", tmp_path / "parts.json"
    coarseparts("predict", run, data / "val" / "images", "--out", out, "--overlay", "--coco", coco)
    names = sorted(p.name for p in out.glob("[!.]*"))
    assert names == sorted(f"bird {i:03d}{end}" for i in range(50, 56) for end in (".png", ".overlay.png"))
    parts = np.asarray(Image.open(out / "bird 050.png"))
    assert parts.shape == (48, 48) and parts.max() <= 10
    written = json.loads(coco.read_text())
    drawn = np.zeros((48, 48), np.uint8)
    number = next(i["id"] for i in written["images"] if i["file_name"] == "bird 050.png")
    for a in written["annotations"]:
        if a["image_id"] == number:
            drawn[rle.decode(a["segmentation"]).astype(bool)] = a["category_id"]
    assert np.array_equal(drawn, parts)


def test_predict_with_labels_uses_the_posterior(run, data, tmp_path):
    images, labels = data / "val" / "images", data / "val" / "coarse.json"
    coarseparts("predict", run, images, "--out", tmp_path / "with", "--labels", labels)
    coarseparts("predict", run, images, "--out", tmp_path / "without")

    def all_of(name):
        return np.stack([np.asarray(Image.open(p)) for p in sorted((tmp_path / name).glob("*.png"))])

    assert not np.array_equal(all_of("with"), all_of("without"))


def test_bad_photographs_are_all_named_before_anything_is_written(run, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("L", (40, 30), 90).save(folder / "grey.png")
    done = coarseparts("predict", run, folder, "--out", tmp_path / "out", ok=2)
    assert "empty.jpg" in done.stderr and "broken.png" in done.stderr and not (tmp_path / "out").exists()
    done = coarseparts("predict", run, folder, "--out", tmp_path / "out", "--skip-bad")
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["grey.png"]
    assert "2 left out" in done.stdout and np.asarray(Image.open(tmp_path / "out" / "grey.png")).shape == (30, 40)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "nowhere.yaml", "--out", "x"], "nowhere.yaml"),
        (["train"], "Missing"),
        (["evaluate", "nowhere"], "no trained model"),
        (["predict", "nowhere", "photos", "--out", "x"], "no trained model"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_usage_errors_name_what_is_wrong_and_exit_with_an_error(arguments, said):
    done = coarseparts(*arguments, ok=None)
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr


def test_unknown_settings_methods_and_labels_are_refused(data, tmp_path):
    for extra, said in (
        (["--set", "part_lrr=1"], "part_lrr"),
        (["--set", "batch=many"], "batch"),
        (["--method", "magic"], "magic"),
        (["--labels", "scribbles"], "scribbles"),
        (["--weights", str(tmp_path / "none.safetensors")], "none.safetensors"),
        (["--preset", "nature"], "nature"),
    ):
        done = coarseparts("train", data / "birds.yaml", "--out", tmp_path / "run", *extra, ok=2)
        assert said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "run" / "stages").exists()


def test_check_with_errors_fails(data, tmp_path):
    text = (data / "birds.yaml").read_text().replace("few/", str(data / "few") + "/").replace("many/", "nowhere/")
    (tmp_path / "bad.yaml").write_text(text.replace("val/", str(data / "val") + "/"))
    done = coarseparts("check", tmp_path / "bad.yaml", ok=2)
    assert "nowhere" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_predict_overwrites_neither_photographs_nor_labels(run, data, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name in ("bird 050.png", "bird 051.png"):
        (photographs / name).write_bytes((data / "val" / "images" / name).read_bytes())
    before = (photographs / "bird 050.png").read_bytes()
    done = coarseparts("predict", run, photographs, "--out", photographs, ok=2)
    assert f"{photographs}: is in the folder of the images" in done.stderr and "--out" in done.stderr
    assert (photographs / "bird 050.png").read_bytes() == before
    (photographs / "bird 050.overlay.png").write_bytes(before)
    done = coarseparts("predict", run, photographs, "--out", tmp_path / "out", "--overlay", ok=2)
    assert "bird 050.overlay.png: would be written 2 times" in done.stderr
    assert not (tmp_path / "out").exists()


def test_predict_names_bad_labels_before_it_writes_anything(run, data, tmp_path):
    coarse = json.loads((data / "val" / "coarse.json").read_text())
    coarse["annotations"][3]["segmentation"]["size"] = [40, 48]
    (tmp_path / "coarse.json").write_text(json.dumps(coarse))
    arguments = ("predict", run, data / "val" / "images", "--out", tmp_path / "out", "--labels")
    done = coarseparts(*arguments, tmp_path / "coarse.json", ok=2)
    assert "bird 053" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option",
    [["--methods", ","], ["--methods", "em,em"], ["--seeds", "0,foo"], ["--seeds", "1,1"], ["--set", "batch=[1"]],
)
def test_options_that_make_no_sense_are_refused_before_training(data, tmp_path, option):
    done = coarseparts("compare", data / "birds.yaml", "--out", tmp_path / "run", *option, ok=2)
    assert done.stderr.startswith(option[0])
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_version_is_said():
    said = coarseparts("--version").stdout
    assert said.startswith(f"coarseparts {version('coarseparts')}, torch ")


@pytest.mark.parametrize(
    ("work", "slow"),
    [
        (
            "experiments.compare experiments.benchmark inference.folder inference.evaluate cli.outcome",
            {"timm", "torchvision", "matplotlib", "scipy", "tensorboard"},
        ),
        ("cli.main data.check report.contact_sheet", {"torch", "timm", "matplotlib", "scipy", "tensorboard"}),
    ],
)
def test_what_takes_long_to_import_is_imported_when_it_is_needed(work, slow):
    code = f"import sys, importlib\nfor name in {work.split()}: importlib.import_module('coarseparts.' + name)\n"
    code += f"print({slow} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_every_verb_that_is_listed_is_there():
    listed = coarseparts("--help").stdout
    for verb in VERBS:
        assert f"\n  {verb} " in listed
        module = import_module(f"coarseparts.cli.{verb}")
        assert module.app.registered_commands or module.app.registered_callback


def test_a_misspelt_verb_gets_the_nearest_one():
    assert "did you mean check?" in coarseparts("chekc", ok=2).stderr


def test_an_unforeseen_error_is_one_line_and_a_log(tmp_path):
    code = "import sys; from coarseparts.cli import main, settings; import coarseparts.training.settings as p\n"
    code += "p.describe = lambda: 1 / 0; sys.argv = ['coarseparts', 'settings']; main.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    (log,) = tmp_path.glob("coarseparts-*.log")
    assert str(log) in done.stderr and "ZeroDivisionError" in done.stderr and "Traceback" in log.read_text()


def test_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -m coarseparts settings | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "encoder = auto\n" and done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other systems")
@pytest.mark.parametrize(
    ("limit", "said"),
    [("ulimit -v 2600000", "2.5 GiB"), ("ulimit -v 3300000", "3.1 GiB"), ("ulimit -n 12", "12 that may be open")],
)
def test_what_the_machine_refuses_is_one_line_with_the_limit(data, tmp_path, limit, said):
    out = tmp_path / "run"
    train = [sys.executable, "-m", "coarseparts", "train", str(data / "birds.yaml"), "--out", str(out), *SMALL]
    done = subprocess.run(["bash", "-c", f"{limit}; exec {shlex.join(train)}"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert said in last and "ulimit" in last and "Traceback" not in done.stderr


def test_a_misspelt_world_gets_the_nearest_name(tmp_path):
    done = coarseparts("benchmark", "synthetic-bird", "--out", tmp_path / "run", ok=2)
    assert done.stderr.startswith("synthetic-bird: ") and "did you mean 'synthetic-birds'?" in done.stderr


def test_a_method_that_diverges_does_not_take_the_others_results_along(data, tmp_path):
    wanted = ["--methods", "multi-task,fine-tuning", "--set", "multi_task.rate=1e30", "--out", tmp_path / "run"]
    for _ in range(2):  # the same command again tries it again and keeps the others
        done = coarseparts("compare", data / "birds.yaml", *wanted, *SMALL, ok=1)
        assert "multi-task (seed 0): " in done.stderr and "lower the learning rate" in done.stderr
        assert "fine-tuning" in done.stdout and "multi-task" not in done.stdout
        rows = list(csv.DictReader((tmp_path / "run" / "results.csv").open()))
        assert [row["method"] for row in rows] == ["fine-tuning"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "multi-task (seed 0): " in page and "lower the learning rate" in page and 'id="examples"' not in page


def test_a_run_with_other_data_is_refused(data, run, tmp_path):
    text = (data / "birds.yaml").read_text().replace("beak", "bill")
    other = data / "other.yaml"
    other.write_text(text)
    done = coarseparts("train", other, "--out", run, *SMALL, ok=2)
    assert "data_hash" in done.stderr and "take another --out" in done.stderr


def test_a_run_goes_on_with_its_data_and_folder_in_another_place(data, run, tmp_path):
    shutil.copytree(data, tmp_path / "moved")
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "moved").rglob("*.png"):
        os.utime(file, (1e9, 1e9))
    states = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "stages").rglob("*.*")}
    coarseparts("train", tmp_path / "moved" / "birds.yaml", "--out", tmp_path / "run", *SMALL)
    assert states and {p: p.stat().st_mtime_ns for p in states} == states, "trained again"
    shutil.move(tmp_path / "moved", tmp_path / "again")
    coarseparts("train", tmp_path / "again" / "birds.yaml", "--out", tmp_path / "run", *SMALL)
    here = json.loads(coarseparts("evaluate", tmp_path / "run", "--json").stdout)
    assert here == json.loads(coarseparts("evaluate", run, "--json").stdout)


def test_a_run_with_results_of_other_methods_is_refused(data, run):
    before = {p: p.read_bytes() for p in [run / "results.csv", *(run / "model").iterdir()]}
    done = coarseparts("train", data / "birds.yaml", "--out", run, *SMALL, "--method", "fine-tuning", ok=2)
    assert "holds the results of em (seed 0), too" in done.stderr and "another --out" in done.stderr
    assert {p: p.read_bytes() for p in before} == before


def test_weights_that_are_no_numbers_are_not_exported(data, tmp_path):
    done = coarseparts("train", data / "birds.yaml", "--out", tmp_path / "r", *SMALL, "--set=em_part_lr=1e38", ok=1)
    assert "not finite" in done.stderr and "lower the learning rate" in done.stderr
    assert "unforeseen" not in done.stderr
    assert not (tmp_path / "r" / "model").exists()


def test_brackets_in_a_path_and_letters_that_the_terminal_lacks(data, run, tmp_path):
    out = tmp_path / "o[/b]ü"
    command = [sys.executable, "-m", "coarseparts", "predict", run, data / "val" / "images", "--out", out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "o[/b]\\xfc" in done.stdout.replace("\n", "")


def test_a_sweep_that_has_only_failures_is_one(data, tmp_path):
    command = ["sweep", data / "birds.yaml", "--out", tmp_path / "s", *SMALL, "--method", "fine-tuning"]
    done = coarseparts(*command, "--sampler", "grid", "--over", "part_lr=1e30", ok=1)
    assert "failed: part_lr=1e" in done.stderr and "no trial came to an end" in done.stderr


def test_ctrl_c_ends_a_training_with_a_status_of_its_own(data, tmp_path):
    command = [sys.executable, "-m", "coarseparts.cli", "train", data / "birds.yaml", "--out", tmp_path / "run", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*map(str, command), "--set=part_epochs=500"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell starts with & ignores it
    )
    assert process.stderr is not None
    assert any("part-model" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on" in said


def test_benchmark_plans_runs_and_goes_on(data, tmp_path):
    out = tmp_path / "bench"
    table = ["benchmark", data / "birds.yaml", "--out", out, "--seeds", "0", *SMALL]
    options = ["--methods", "fine-tuning,em", "--parts", "4,6", "--labels", "all,mask"]
    planned = coarseparts(*table, *options, "--dry-run")
    assert "6 cells, 6 to do: about" in planned.stdout
    done = coarseparts(*table, *options)
    assert "4 part masks, mask, from random" in done.stdout
    assert len((out / "results.csv").read_text().splitlines()) == 1 + 8, "fine-tuning stands beside every labels"
    assert (out / "report.html").is_file()
    again = coarseparts(*table, *options, "--dry-run")
    assert "6 cells, 0 to do" in again.stdout
    wrong = coarseparts(*table, "--methods", "fine-tuning", "--parts", "4,99", "--dry-run", ok=2)
    assert "--parts 99: there are 6 images with part masks" in wrong.stderr
    wrong = coarseparts(*table, "--methods", "upper-bound", ok=2)
    assert "upper-bound needs part masks beyond the part limit" in wrong.stderr
    wrong = coarseparts(*table, "--labels", "mask+ears", ok=2)
    assert "'ears'" in wrong.stderr


def test_sweep_tries_settings_and_says_which_were_best(data, tmp_path):
    out = tmp_path / "sweep"
    command = ["sweep", data / "birds.yaml", "--out", out, *SMALL, "--method", "fine-tuning", "--sampler", "grid"]
    done = coarseparts(*command, "--over", "part_lr=0.001,0.002")
    assert "best: --set part_lr=0.00" in done.stdout
    assert len((out / "sweep.csv").read_text().splitlines()) == 3
    assert len(list(out.glob("trial-*/stages/fine-tuning/best.safetensors"))) == 2
    wrong = coarseparts(*command, "--over", "part_lr=0.001,0.002", "--method", "multi-task", ok=2)
    assert "holds a sweep with other settings (method: 'fine-tuning' there, 'multi-task' now)" in wrong.stderr
    wrong = coarseparts(*command, "--over", "part_speed=1,2", ok=2)
    assert "part_speed" in wrong.stderr
    wrong = coarseparts(*command, "--over", "part_lr=-1,2", ok=2)
    assert "part_lr" in wrong.stderr


@pytest.mark.parametrize("wrong", ["em.alhpa", "ems.alpha", "m.alpha"])
def test_a_misspelled_setting_is_answered_with_the_nearest_one(wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"--set {wrong}: no such setting; did you mean em\.alpha\?"):
        settings(changes={wrong: 1})


def test_a_file_where_the_run_folder_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("something")
    with pytest.raises(RunError, match="run: is a file; name a folder"), claimed(tmp_path / "run"):
        raise AssertionError("nobody may write here")


def test_init_goes_from_photographs_and_masks_to_a_dataset_file_that_is_checked(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.jpg")
        Image.fromarray((np.arange(1024).reshape(32, 32) // 400).astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    command = ["init", tmp_path / "photos", tmp_path / "masks", "--parts", "head,rump", "--out", tmp_path / "ants.yaml"]
    said = coarseparts(*map(str, command)).stdout
    assert "every 5th by name" in said and "sources[1] val: 5 images = 1 used" in said
    assert f"train: coarseparts train {tmp_path / 'ants.yaml'} --out runs/ants" in said
    assert "is there and would be written over" in coarseparts(*map(str, command), ok=2).stderr


def test_convert_says_where_the_labels_are_and_what_is_lost(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
    label = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 9, 8], "score": 0.5}
    lists = {"images": [image], "annotations": [label], "categories": [{"id": 1, "name": "ant"}]}
    (tmp_path / "a.json").write_text(json.dumps(lists))
    done = coarseparts("convert", tmp_path / "a.json", tmp_path / "a.xml", "--to", "cvat")
    assert "1 annotations of 1 images" in done.stdout and "no place for the scores" in done.stderr
    assert 'xtl="2"' in (tmp_path / "a.xml").read_text()
    assert "choose one of" in coarseparts("convert", tmp_path / "a.json", tmp_path / "b", "--to", "voc", ok=2).stderr
