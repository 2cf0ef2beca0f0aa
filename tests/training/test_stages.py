"""A run from start to end, stopped and gone on with, and what happens when something goes wrong."""

import csv
import errno
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import ended, forked
from safetensors.torch import load_file
from toy import toy, toy_store, train

from coarseparts.data.roles import split_rows
from coarseparts.export.graph import styles_of
from coarseparts.inference.evaluate import evaluate_store
from coarseparts.inference.model import Model
from coarseparts.networks import members
from coarseparts.system.errors import RunError
from coarseparts.training import claims, methods
from coarseparts.training.claims import claimed, in_turn, write
from coarseparts.training.measure import measured
from coarseparts.training.stages import fine_tuned, fresh, initialised, validated
from coarseparts.updates import TrainingDiverged


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "store"
    toy_store(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert ended(forked(train, store, run)) == 0
    return run


def test_a_run_leaves_all_that_is_needed(undisturbed):
    names = {p.relative_to(undisturbed).as_posix() for p in undisturbed.rglob("*") if p.is_file()}
    for stage in ("part-model", "posterior", "label-models", "em"):
        assert {f"stages/{stage}/state.pt", f"stages/{stage}/best.safetensors"} <= names
    assert {"config.yaml", "schema.json", "metrics.csv", "model/model.json", "model/part_model.safetensors"} <= names
    assert not [n for n in names if n.endswith(".part")], "a half-written file was left"
    rows = list(csv.DictReader(open(undisturbed / "metrics.csv")))
    logged = {r["name"] for r in rows if r["stage"] == "em"}
    assert {"e/agreement", "e/entropy", "e/keypoints", "e/mask", "e/box", "e/supervised", "m/coarse"} <= logged
    assert "val/posterior_part_miou" in logged, "the posterior's own score must be watched"
    assert [int(r["epoch"]) for r in rows if r["stage"] == "em" and r["name"] == "val/part_part_miou"] == [0, 1, 2, 3]


def test_a_posterior_that_was_averaged_is_the_one_that_is_kept(store, tmp_path):
    joint, _ = methods.train(*toy(store, tmp_path / "run", **{"em.average": 0.5}), "em")
    best = load_file(tmp_path / "run" / "stages" / "em" / "best.safetensors")
    own = joint.posterior.state_dict()
    assert all(torch.equal(own[name], best[f"average/module.{name}"]) for name in own)
    assert any(not torch.equal(own[name], best[f"posterior/{name}"]) for name in own)
    again, _ = methods.train(*toy(store, tmp_path / "run", **{"em.average": 0.5}), "em")
    assert all(torch.equal(own[name], value) for name, value in again.posterior.state_dict().items())


def test_the_model_folder_predicts_as_the_run_did(undisturbed, store):
    model = Model.load(undisturbed / "model")
    task, run = toy(store, undisturbed)  # finished: every stage is restored, nothing is trained
    joint, _ = methods.train(task, run, "em")
    image = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        joint.part_model.eval()
        assert torch.equal(model.networks.part_model(image), joint.part_model(image))
    assert model.schema == task.schema


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(store, undisturbed, tmp_path):
    """SIGKILL within the first stage, between stages, within the last; then the run is left to end."""
    run = tmp_path / "run"
    stages = run / "stages"
    waits = [
        lambda: (stages / "part-model" / "state.pt").exists(),  # within stage 1 (2 epochs)
        lambda: (stages / "posterior" / "state.pt").exists(),
        lambda: (stages / "label-models" / "state.pt").exists(),
        lambda: (run / "progress" / "em-0001.npz").exists(),  # within EM, before its epoch was saved
        lambda: (stages / "em" / "state.pt").exists(),
    ]
    kills = 0
    for ready in waits:
        process = forked(train, store, run)
        deadline = time.monotonic() + 120
        while process.is_alive() and not ready() and time.monotonic() < deadline:
            time.sleep(0.01)
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills >= 4, f"only {kills} kills hit a running process"
    assert ended(forked(train, store, run)) == 0
    for file in ("part_model", "posterior", "styles"):
        ours, theirs = (load_file(r / "model" / f"{file}.safetensors") for r in (run, undisturbed))
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), f"{file}: {name} differs after a kill"

    def scores(folder):
        return [r for r in csv.reader(open(folder / "metrics.csv")) if r[0] == "em" and r[2].startswith("val/")]

    assert scores(run) == scores(undisturbed)


def test_methods_do_not_depend_on_the_order_in_which_they_run(store, tmp_path):
    one, other = toy(store, tmp_path / "a"), toy(store, tmp_path / "b")
    names = ("fine-tuning", "distillation", "em")
    first = {r["method"]: r["part_miou"] for name in names for r in methods.train(*one, name).rows}
    second = {r["method"]: r["part_miou"] for name in names[::-1] for r in methods.train(*other, name).rows}
    assert first == second


def test_every_method_is_measured_on_the_split_that_was_asked_for(store, tmp_path):
    task, run = toy(store, tmp_path / "run")
    task = replace(task, measured=task.rows.val[:3])  # other images than those that choose the epoch
    rows = 0
    for method in ("fine-tuning", "distillation", "em"):
        done = methods.train(task, run, method)
        rows += len(done.rows)
        found = measured(done.joint, task.schema, "part", task.measured_feed, task.settings.em.condition, True)
        chosen = validated(task, done.joint, "part")
        assert done.rows[-1]["part_miou"] == found["part_miou"] != chosen["part_miou"]
    assert rows == 5


def test_fine_tuning_takes_at_least_as_many_steps_as_em(store, tmp_path):
    task, run = toy(store, tmp_path / "run")
    for method in ("em", "fine-tuning"):
        methods.train(task, run, method)
    epochs = {name: stage.epoch for name, stage in run.stages.items()}
    em_steps = epochs["part-model"] * task.part_steps + epochs["em"] * task.em_steps
    assert epochs["fine-tuning"] * task.part_steps >= em_steps


def test_distillation_moves_neither_posterior_nor_label_models(store, tmp_path):
    task, run = toy(store, tmp_path / "run")
    before, after = initialised(task, run), methods.train(task, run, "distillation").joint
    for was, now in ((before.posterior, after.posterior), (before.theta_k, after.theta_k)):
        weights = dict(was.named_parameters())
        assert weights and all(torch.equal(weights[k], v) for k, v in now.named_parameters())
    decoder, moved = (joint.part_model.decoder.state_dict() for joint in (before, after))
    assert any(not torch.equal(decoder[k], moved[k]) for k in decoder)


def test_only_the_upper_bound_sees_hidden_part_masks(store, tmp_path):
    task, _ = toy(store, tmp_path / "run")
    assert len(task.rows.hidden) == 24
    assert not task.store.present["parts"][task.rows.hidden].any()
    batch = next(task.coarse_feed.epoch(0))
    assert not batch.present["parts"].any() and (batch.parts == 255).all()


def test_a_folder_with_other_settings_is_refused_and_named(store, tmp_path):
    toy(store, tmp_path / "run", part_lr=0.25)
    toy(store, tmp_path / "run")  # nothing was trained yet: the command has been corrected
    state = tmp_path / "run" / "stages" / "part-model" / "state.pt"
    state.parent.mkdir(parents=True)
    state.touch()
    with pytest.raises(RunError, match=r"run with other settings \(settings\.part_lr: 0\.001 there, [^;]* now\)"):
        toy(store, tmp_path / "run", part_lr=0.5)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(RunError, match="not empty"):
        toy(store, tmp_path / "photos")


def test_a_loss_that_is_not_finite_stops_the_run_and_says_why(store, tmp_path):
    run = toy(store, tmp_path / "run", part_lr=1e30)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        methods.train(*run, "fine-tuning")


def test_a_full_disk_leaves_the_old_file_and_names_the_new(tmp_path, monkeypatch):
    target = tmp_path / "state.pt"
    write(target, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(claims.os, "fsync", full)
    with pytest.raises(RunError, match=r"state\.pt.*disk is full"):
        write(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_a_read_only_folder_is_named_with_the_remedy(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(claims.os, "replace", refuse)
    with pytest.raises(RunError, match=r"read-only.*--out"):
        write(tmp_path / "config.yaml", "x")


def test_a_damaged_state_is_named(store, tmp_path):
    fine_tuned(*toy(store, tmp_path / "run"), "part-model")
    (tmp_path / "run" / "stages" / "part-model" / "state.pt").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(RunError, match=r"part-model/state\.pt.*delete"):
        fine_tuned(*toy(store, tmp_path / "run"), "part-model")


def test_without_validation_images_some_are_held_out(store):
    data = toy_store(store)
    rows = split_rows(data.subset(data.rows("train")))
    assert rows.held_out and len(rows.val) and not np.intersect1d(rows.val, rows.part).size


def test_a_model_of_another_format_is_refused(undisturbed, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    found = json.loads((undisturbed / "model" / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(found | {"format": 99}))
    with pytest.raises(RunError, match="format 99"):
        Model.load(folder)
    with pytest.raises(RunError, match="holds no trained model"):
        Model.load(tmp_path / "nothing")


def test_a_folder_of_somebody_elses_is_not_claimed(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "results.csv").write_text("precious")
    with (
        pytest.raises(RunError, match=r"own: is not empty and holds no run; take another --out"),
        claimed(tmp_path / "own"),
    ):
        pass
    (tmp_path / "half" / "store").mkdir(parents=True)  # a build that was stopped
    with claimed(tmp_path / "half"):
        pass


def test_a_folder_is_claimed_by_one_process_at_a_time(tmp_path):
    with claimed(tmp_path / "run"):
        with pytest.raises(RunError, match=r"process \d+ on .* is at work here since"), claimed(tmp_path / "run"):
            pass
    with claimed(tmp_path / "run"):
        pass


def test_what_a_killed_process_left_half_written_is_taken_away(tmp_path):
    stage = tmp_path / "run" / "stages" / "em"
    stage.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("seed: 0")
    left, others = stage / f".{'0a' * 16}.part", stage / ".mine.part"
    for file in (left, others):
        file.write_bytes(b"half")
    with in_turn(tmp_path / "run"):  # where others may be at work
        assert left.exists()
    with claimed(tmp_path / "run"):
        assert not left.exists() and others.exists()


def test_ctrl_c_while_a_file_is_written_is_no_full_disk(tmp_path):
    def interrupted(file):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "state.pt", interrupted)
    assert not list(tmp_path.iterdir())


def test_what_the_data_do_not_allow_is_said_before_anything_is_trained(store, tmp_path):
    task, _ = toy(store, tmp_path / "run", **{"em": {"lambdas": {"wing": 5.0}}})
    with pytest.raises(ValueError, match="unknown") as told:
        methods.check(replace(task, styles=[]), ["em", "magic", "point-sup", "fine-tuning"])
    text = str(told.value)
    assert "em needs coarse labels" in text
    assert "point-sup needs keypoints, or masks" in text
    assert "em.lambdas: wing is no label style" in text
    assert len(text.splitlines()) == 4


def test_a_damaged_best_file_is_named(store, tmp_path):
    fine_tuned(*toy(store, tmp_path / "run", em_epochs=1), "part-model")
    best = tmp_path / "run" / "stages" / "part-model" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:100])
    with pytest.raises(RunError, match=r"part-model/best\.safetensors: cannot be read.*delete"):
        fine_tuned(*toy(store, tmp_path / "run", em_epochs=1), "part-model")


@pytest.mark.parametrize("text", ["[]", "a: [", "\xff"])
def test_a_damaged_configuration_is_named(store, tmp_path, text):
    toy(store, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"config\.yaml: cannot be read"):
        toy(store, tmp_path / "run")


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 2}', '{"format": 2, "schema": 5}'])
def test_a_damaged_model_file_is_named(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(RunError, match=r"model\.json"):
        Model.load(tmp_path)


def test_encoders_may_begin_by_learning_keypoints(store, tmp_path):
    task, run = toy(store, tmp_path / "run", start="keypoints", keypoint_epochs=2)
    plain, networks = fresh(*toy(store, tmp_path / "plain")), fresh(task, run)
    stage = run.stages["keypoint-start"]
    losses = [value for _, name, value in stage.history if name == "keypoints"]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    learned = stage.modules["detector"].encoder.state_dict()
    for network in (networks.part_model, networks.posterior):
        assert all(torch.equal(v, learned[k]) for k, v in network.encoder.state_dict().items())
    own, untouched = networks.part_model.decoder.state_dict(), plain.part_model.decoder.state_dict()
    assert all(torch.equal(v, untouched[k]) for k, v in own.items()), "only the encoder knows keypoints"
    again = toy(store, tmp_path / "run", start="keypoints", keypoint_epochs=2)
    resumed = fresh(*again).part_model.encoder.state_dict()
    assert all(torch.equal(v, learned[k]) for k, v in resumed.items())
    row = methods.train(*again, "fine-tuning").rows[0]
    assert row["seconds"] > stage.seconds
    blind = replace(task, store=task.store.labels_limited(["mask"]))
    with pytest.raises(ValueError, match="needs training images with keypoints"):
        fresh(blind, run)


@pytest.mark.parametrize("kind", ["separate", "inferred"])
def test_other_kinds_of_posteriors_are_trained_saved_and_read(store, tmp_path, kind):
    task, run = toy(store, tmp_path / "run", posteriors=kind, part_epochs=1, posterior_epochs=1, em_epochs=1)
    joint, _ = methods.train(task, run, "em")
    Model.of(task, joint, True).save(run.path / "model")
    model = Model.load(tmp_path / "run" / "model")
    assert len(members(model.networks.posterior)) == (2 ** len(task.styles) if kind == "separate" else 1)
    assert model.networks.infer_missing == (kind == "inferred")
    assert styles_of(model) == (), "neither has a single graph"
    found = evaluate_store(replace(model, shares={}), task.store, "val", "posterior")  # the posterior alone
    assert found["part_miou"] == pytest.approx(validated(task, joint, "posterior")["part_miou"])
