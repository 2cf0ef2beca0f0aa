"""``coarseparts next`` on a toy run: what it leaves out, what it tells, what it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from coarseparts import Model
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.labels import STYLES
from coarseparts.labels.style import LabelStyle
from coarseparts.selection.choose import choose
from coarseparts.selection.seconds import PART_MASK, SECONDS
from coarseparts.selection.views import views_of
from coarseparts.system.problems import BadInput
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings


def model_of(styles: list[str], has_posterior: bool = True) -> Model:
    torch.manual_seed(0)
    chosen = resolve(settings(changes={"encoder": "resnet10", "precision": "float32", "weights": "random"}), "cpu")
    networks = build(birds.SCHEMA, chosen, styles)
    return Model(networks, birds.SCHEMA, chosen, styles, 32, {"to": "none"}, has_posterior)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A run whose model takes boxes, and a dataset file of 2 part masks and 6 images without."""
    folder = tmp_path_factory.mktemp("next")
    model_of(["mask", "box"]).save(folder / "run" / "model")
    drawn = birds.render(8, size=32, seed=3)
    for place in ("images", "parts", "more"):
        (folder / place).mkdir()
    for i, (image, parts) in enumerate(zip(drawn["image"], drawn["parts"], strict=True)):
        Image.fromarray(image).save(folder / ("images" if i < 2 else "more") / f"{i}.png")
        if i < 2:
            Image.fromarray(parts).save(folder / "parts" / f"{i}.png")
    lines = [f"parts: [{', '.join(birds.SCHEMA.parts)}]", "size: 32", "sources:"]
    lines += ["  - {split: train, images: images, part_masks: parts}", "  - {split: train, images: more}"]
    (folder / "birds.yaml").write_text("\n".join(lines) + "\n")
    return folder


def test_images_with_part_masks_are_never_chosen(data):
    for by in ("random", "entropy", "core-set"):
        queue = choose(data / "run", data / "birds.yaml", 100, SECONDS, by=by, device="cpu")
        assert sorted(each.image for each in queue.chosen) == [str(i) for i in range(2, 8)]
        assert {each.label for each in queue.chosen} == {"part_mask"}


def test_a_budget_is_kept_and_minutes_add_up(data):
    queue = choose(data / "run", data / "birds.yaml", 100, SECONDS, budget=500, device="cpu")
    assert [each.minutes for each in queue.chosen] == [4.0, 8.0]


def test_the_label_of_an_image_is_that_which_takes_most_doubt_away_a_second(data):
    dear = SECONDS | {"mask": 1e4, "box": 1e4}
    cheap = SECONDS | {"part_mask": 1e9, "mask": 0.1, "box": 1e9}
    labels = [
        {each.label for each in choose(data / "run", data / "birds.yaml", 9, s, kinds=True, device="cpu").chosen}
        for s in (dear, cheap)
    ]
    assert labels == [{"part_mask"}, {"mask"}]


def test_disagreement_without_coarse_labels_is_refused(data):
    with pytest.raises(BadInput, match="no coarse label"):
        choose(data / "run", data / "birds.yaml", 3, SECONDS, by="disagreement", device="cpu")


def test_a_view_has_no_disagreement_and_no_gain_where_there_is_nothing_to_gain():
    drawn = birds.render(4, size=32, seed=4)
    styles = [style for style in SECONDS if style != PART_MASK]
    there = {name: np.array([True, True, False, False]) for name in ("mask", "keypoints", "box")}
    store = Store.from_arrays(birds.SCHEMA, **drawn, splits="train", present=there)
    seen = views_of(model_of(styles), store, np.arange(4), styles)
    assert (seen.disagreement[:2] > 0).all() and (seen.disagreement[2:] == 0).all()
    for style in there:
        assert (seen.gains[style][:2] == 0).all()
    assert (seen.gains["mask"][2:] > 0).all(), "a mask tells the background of every pixel"
    assert (
        np.allclose((seen.features**2).sum(1), 1, atol=1e-4) and ((0 <= seen.foreground) & (seen.foreground <= 1)).all()
    )


def test_a_queue_is_written_as_it_is_told(data, tmp_path):
    queue = choose(data / "run", data / "birds.yaml", 2, SECONDS, device="cpu")
    lines = queue.write(tmp_path / "queue.csv").read_text().splitlines()
    assert lines[0] == "image,label,seconds,minutes,gain" and len(lines) == 3
    assert [each["image"] for each in json.loads(json.dumps(queue.as_json()))["next"]] == [
        x.image for x in queue.chosen
    ]


def test_what_takes_how_long_is_known_of_every_label_that_can_be_told_from_parts():
    told = {name for name, style in STYLES.items() if style.likeliest is not LabelStyle.likeliest}
    assert SECONDS.keys() - {PART_MASK} == told
