"""What a training keeps and how long it takes: averages, mirror images, efforts, frozen encoders, larger images."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from toy import toy

from coarseparts.data.transforms import PATCHES, blanked, mirror, viewed
from coarseparts.training import methods, stages
from coarseparts.training.measure import measured, predictions
from coarseparts.training.settings import EFFORTS, PRESETS, settings, shares
from coarseparts.training.stages import fine_tuned, fresh, frozen_probe, untrained


def test_the_part_model_that_is_kept_is_its_moving_average_of_every_method(tmp_path):
    task, run = toy(tmp_path / "store", tmp_path / "run", part_average=0.9)
    for method in ("fine-tuning", "distillation", "em"):
        joint = methods.train(task, run, method).joint
        best = load_file(tmp_path / "run/stages" / method / "best.safetensors")
        kept = {key.removeprefix("part_average/module."): v for key, v in best.items() if "part_average/module" in key}
        moved = {key.removeprefix("part_model/"): v for key, v in best.items() if key.startswith("part_model/")}
        own = joint.part_model.state_dict()
        assert kept.keys() == own.keys() == moved.keys()
        assert all(torch.equal(own[key], value) for key, value in kept.items())
        assert not all(torch.equal(own[key], value) for key, value in moved.items()), "nothing was averaged"
        assert joint.part_average is None


def test_without_an_average_the_weights_are_kept_as_they_are(tmp_path):
    task, run = toy(tmp_path / "store", tmp_path / "run", part_average=0.0)
    fine_tuned(task, run, "part-model")
    assert not [key for key in load_file(tmp_path / "run/stages/part-model/best.safetensors") if "average" in key]


def test_results_and_predictions_are_the_mean_over_mirror_images(tmp_path):
    task, run = toy(tmp_path / "store", tmp_path / "run")
    done = methods.train(task, run, "fine-tuning")
    feed, condition = task.measured_feed, task.settings.em.condition
    once = measured(done.joint, task.schema, "part", feed, condition)
    twice = measured(done.joint, task.schema, "part", feed, condition, flip=True)
    assert done.rows[-1]["part_miou"] == twice["part_miou"] != once["part_miou"]
    (batch, log_y), *_ = predictions(done.joint, "part", feed.plain(), condition, task.schema)
    other = replace(batch, image=mirror(batch, task.schema).image)
    ((_, mirrored),) = predictions(done.joint, "part", [other], condition, task.schema)
    assert torch.allclose(log_y, done.joint.y.mirrored(mirrored, task.schema.part_flip()), atol=1e-4)


def test_data_that_may_not_be_mirrored_are_not_when_they_are_measured():
    assert settings().looks_twice
    assert not settings(changes={"augmentation.flip": 0}).looks_twice
    assert not any(settings(name).flip or settings(name).part_average for name in PRESETS if name != "default")


def test_a_frozen_probe_leaves_the_encoder_as_its_weights_are(tmp_path):
    task, run = toy(tmp_path / "store", tmp_path / "run")
    begin = fresh(task, run).part_model.state_dict()
    end = frozen_probe(task, run).part_model.state_dict()
    moved = {key for key in begin if not torch.equal(begin[key], end[key])}
    assert moved
    assert all(key.startswith("decoder.") for key in moved), "statistics of batch norm rest as well"


def test_a_shortened_training_from_weights_learns_more_before_em_and_less_in_it():
    plain = settings(changes={"weights": "a.safetensors"})
    chosen = settings(changes={"weights": "a.safetensors"}, effort="quick")
    assert (chosen.part_epochs, chosen.posterior_epochs, chosen.label_epochs) == (15, 15, 5)
    assert chosen.em_epochs == 2 == round(plain.em_epochs / 8)
    longer = settings(changes={"weights": "a.safetensors"}, effort="best")
    assert (longer.part_epochs, longer.em_epochs) == (3 * plain.part_epochs, 3 * plain.em_epochs)
    before, em = shares(chosen, 0.5)
    assert before * em == pytest.approx(0.25) and em < 0.5 < before < 1


def test_em_lasts_three_times_as_long_where_encoders_start_from_random_numbers():
    assert settings().em_epochs == settings(changes={"weights": "random"}).em_epochs == 36
    assert settings(changes={"weights": "imagenet"}).em_epochs == 12
    for start in ("imagenet", "random"):
        assert settings(changes={"weights": start, "em_epochs": 5}).em_epochs == 5
    assert settings("paper").em_epochs == settings("paper", {"weights": "random"}).em_epochs == 40
    kept = settings(changes={"weights": "imagenet", "em_epochs": 36})
    assert type(kept).model_validate(kept.model_dump()) == kept


def test_a_stage_that_brings_nothing_more_ends_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "validated", lambda *_: {"part_miou": 50.0})
    said = io.StringIO()
    for _ in range(2):
        task, run = toy(tmp_path / "store", tmp_path / "run", part_epochs=10, patience=0.2)
        run.console = Console(file=said, width=200)
        fine_tuned(task, run, "part-model")
        stage = run.stages["part-model"]
        assert stage.finished and (stage.epoch, stage.best_epoch, stage.epochs) == (7, 1, 10)
    assert said.getvalue().count("part-model: ends here, for 6 epochs brought nothing better than epoch 1") == 1


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_scales_every_stage_alike_and_leaves_what_was_set(effort):
    plain, chosen = settings(), settings(changes={"label_epochs": 7}, effort=effort)
    factor, zoom, patience = EFFORTS[effort]
    for key in ("part_epochs", "posterior_epochs", "em_epochs"):
        assert getattr(chosen, key) == round(factor * getattr(plain, key))
    assert (chosen.label_epochs, chosen.zoom, chosen.patience) == (7, zoom, patience)
    assert settings(changes={"zoom": 1}, effort=effort).zoom == 1
    assert settings(changes={"em_epochs": 1}, effort=effort).em_epochs == 1


def test_an_unknown_effort_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match="'much' is unknown; choose one of quick, standard, best"):
        settings(effort="much")


@pytest.mark.parametrize("zoom", [0.5, 0.75, 1, 1.5, 2])
def test_enlarged_and_reduced_images_give_parts_of_the_size_that_came(tmp_path, zoom, monkeypatch):
    monkeypatch.setattr("coarseparts.training.settings.LEAST_SHOWN", 16)
    task, _ = toy(tmp_path / "store", tmp_path / "run", zoom=zoom)
    joint = untrained(task)
    assert joint.part_model.zoom == zoom
    batch = next(task.coarse_feed.plain(2))
    shape = (len(batch), joint.y.outputs, task.size, task.size)
    assert joint.part_model(batch.image).shape == joint.posterior(batch.image, joint.draw(batch)).shape == shape


def test_a_strong_view_keeps_every_pixel_in_its_place():
    image = torch.zeros(64, 3, 16, 16)
    image[:, :, 4:8, 4:8] = 2.0
    seen = viewed(image, 0.5, torch.Generator().manual_seed(0))
    assert viewed(image, 0.0) is image
    assert not torch.equal(seen, image)
    inside, outside = seen[:, :, 5:7, 5:7].mean((1, 2, 3)), seen[:, :, 10:, 10:].mean((1, 2, 3))
    assert (inside > outside).all(), "the square is the brighter one in all of them"


def test_patches_of_some_images_are_blank():
    image = torch.rand(400, 3, 16, 16) + 1
    assert blanked(image, 0.0) is image
    seen = blanked(image, 0.5, torch.Generator().manual_seed(0))
    kept = seen != 0
    assert torch.equal(seen[kept], image[kept])
    patches = kept.view(400, 3, PATCHES, 2, PATCHES, 2)
    assert torch.equal(patches, patches[:, :1, :, :1, :, :1].expand_as(patches)), "patches as a whole, of all channels"
    lost = 1 - patches[:, 0, :, 0, :, 0].float().mean((1, 2))
    assert 180 < (lost > 0).sum() < 220, "every second image"
    assert lost.max() > 0.9 and 0.4 < lost[lost > 0].mean() < 0.6, "from a few to nearly all"


def test_the_posterior_learns_from_labels_as_sparse_as_the_coarse_images_have(tmp_path):
    task, _ = toy(tmp_path / "store", tmp_path / "run", match_labels=True)
    assert task.subsets is None, "all have all labels: there is nothing to match"
    one = replace(task, store=task.store.labels_sampled(task.rows.coarse, 1, 0))
    assert (one.subsets.sum(1) == 1).all()
    joint = untrained(one)
    batch = next(one.part_feed.plain())
    some = batch[torch.zeros(400, dtype=torch.long)]
    drawn = joint.draw(some, 0.0, torch.Generator().manual_seed(0), as_coarse=True)
    shown = drawn[:, -len(joint.styles) :, 0, 0].sum(1)
    assert set(shown.tolist()) == {1.0, float(len(joint.styles))}
    assert 140 < (shown == 1).sum() < 260, "every second one"
    assert (joint.draw(some)[:, -len(joint.styles) :] == 1).all(), "nothing is hidden from it elsewhere"
