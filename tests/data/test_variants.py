import numpy as np
import torch

from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch, no_parts
from coarseparts.data.store import Store
from coarseparts.data.transforms import Augmentation
from coarseparts.data.variants import exchanged, lenders, recoloured
from coarseparts.labels.schema import IGNORE, Schema

SCHEMA = Schema(parts=("head", "tail"))
OVERLAPPING = Schema(parts=("head", "tail"), overlapping=True)
SIDE = 8


def images(value: float, *labels: str) -> Batch:
    """Two of one value each; the object is the square of the first four columns and rows."""
    parts = no_parts((2, SIDE, SIDE), torch.int64)
    if "parts" in labels:
        parts = torch.zeros(2, SIDE, SIDE, dtype=torch.int64)
        parts[:, :4, :4] = 1
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, :, :4, :4] = 1.0
    there = {name: torch.full((2,), name in labels) for name in ("parts", "mask")}
    image = torch.full((2, 3, SIDE, SIDE), value).contiguous(memory_format=torch.channels_last)
    return Batch(image, parts, {"mask": mask}, there, torch.arange(2))


def moved(batch: Batch, right: int) -> Batch:
    """The object of ``images`` so many columns further right, of another value there."""
    batch.labels["mask"] = batch.labels["mask"].roll(right, -1)
    if batch.present["parts"].any():
        batch.parts = batch.parts.roll(right, -1)
    batch.image[:, :, :4, right : right + 4] = 9.0
    return batch


def test_the_object_stays_and_everything_else_is_the_lenders():
    for labels in (("parts",), ("parts", "mask")):
        got = exchanged(images(1.0, *labels), moved(images(2.0, *labels), 2), SCHEMA, 1.0).image
        assert (got[:, :, :4, :4] == 1).all()
        assert (got != 9).all() and (got[:, :, :5, 4:7] == 1).all(), "the lender's object and what touches it stay away"
        assert (got[:, :, 5:] == 2).all() and (got[:, :, :5, 7] == 2).all()
        assert got.is_contiguous(memory_format=torch.channels_last)


def test_an_image_whose_object_is_not_outlined_stays_as_it_is_and_lends_nothing():
    parts, mask, both = ("parts",), ("mask",), ("parts", "mask")
    for schema, mine, theirs in (
        (SCHEMA, mask, both),
        (SCHEMA, both, mask),
        (OVERLAPPING, parts, both),  # parts that overlap may leave some of the object out
        (OVERLAPPING, both, parts),
    ):
        batch = images(1.0, *mine)
        assert torch.equal(exchanged(batch, images(2.0, *theirs), schema, 1.0).image, batch.image)
    assert (exchanged(images(1.0, *both), images(2.0, *both), OVERLAPPING, 1.0).image == 2).any()


def test_what_a_mask_leaves_out_of_a_part_stays_and_so_do_pixels_that_nobody_labelled():
    batch = images(1.0, "parts", "mask")
    batch.parts[:, 7, 7], batch.parts[:, 6, 0] = 2, IGNORE
    got = exchanged(batch, images(2.0, "parts"), SCHEMA, 1.0).image
    assert (got[:, :, 7, 7] == 1).all() and (got[:, :, 6, 0] == 1).all() and (got[:, :, 6, 6] == 2).all()


def test_soft_masks_blend_and_labels_are_left_alone():
    batch = images(1.0, "parts", "mask")
    batch.labels["mask"][:, :, 6, 6] = 0.25
    before = {name: label.clone() for name, label in batch.labels.items()}
    got = exchanged(batch, images(3.0, "parts"), SCHEMA, 1.0)
    assert (got.image[:, :, 6, 6] == 2.5).all()
    assert all(torch.equal(got.labels[name], label) for name, label in before.items())
    assert torch.equal(got.parts, batch.parts) and (batch.image == 1).all()


def test_a_share_of_the_images_and_none_at_zero():
    many = 400
    batch, lender = images(1.0, "parts"), images(2.0, "parts")
    rows = torch.zeros(many, dtype=torch.long)
    seen = exchanged(batch[rows], lender[rows], SCHEMA, 0.5, torch.Generator().manual_seed(0)).image
    changed = (seen == 2).flatten(1).any(1).float().mean()
    assert 0.4 < changed < 0.6
    assert torch.equal(exchanged(batch, lender, SCHEMA, 0.0).image, batch.image)


def store(schema: Schema = SCHEMA) -> Store:
    """Twelve images of one grey each: six have part masks, three of these masks, too, three masks alone."""
    n = 12
    image = np.repeat(np.arange(n, dtype=np.uint8) * 20, SIDE * SIDE * 3).reshape(n, SIDE, SIDE, 3)
    parts = np.full((n, SIDE, SIDE), IGNORE, np.uint8)
    parts[:6], parts[:6, 2:6, 2:6] = 0, 1
    mask = np.zeros((n, SIDE, SIDE), np.uint8)
    mask[:, 2:6, 2:6] = 255
    return Store.from_arrays(schema, image, parts, present={"mask": np.arange(n) // 3 % 2 == 1}, mask=mask)


def test_those_lend_whose_object_can_be_told():
    rows = np.arange(12)
    assert lenders(store(), rows).tolist() == list(range(6))
    assert lenders(store(OVERLAPPING), rows).tolist() == [3, 4, 5]
    assert lenders(store(OVERLAPPING).labels_limited([]), rows).tolist() == []
    assert lenders(store(), np.array([7, 1, 5])).tolist() == [1, 5]


def plainly(**changes: float) -> Augmentation:
    still = dict(flip=0.0, scale=(1.0, 1.0), rotation=0.0, shear=0.0, translation=0.0)
    colours = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0, background=0.0, part_colours=0.0)
    return Augmentation(**(still | colours | changes))


def greys(feed: Feed, epoch: int = 0) -> list[list[int]]:
    """Of each image in an epoch: its row, the grey in its middle and the one in its corner, by their row."""
    found = []
    for batch in feed.epoch(epoch):
        values = (batch.image[:, 0] * feed.preprocess.std[0] + feed.preprocess.mean[0]) * 255 / 20
        for row, one in zip(batch.index.tolist(), values, strict=True):
            found.append([row, round(float(one[4, 4])), round(float(one[0, 0]))])
    return found


def test_a_feed_exchanges_backgrounds_among_its_own_images():
    one = store()
    feed = Feed(one, np.arange(12), 6, 0, augmentation=plainly(background=1.0))
    for row, middle, corner in [found for epoch in range(10) for found in greys(feed, epoch)]:
        assert middle == row
        assert corner == row if row > 5 else corner < 6
    some = {corner for epoch in range(10) for row, _, corner in greys(feed, epoch) if row == 0}
    assert len(some) > 4
    assert greys(feed, 3) == greys(feed, 3)
    coarse = Feed(one, np.arange(6, 12), 3, 0, augmentation=plainly(background=1.0))
    assert all(row == corner for row, _, corner in greys(coarse))
    assert all(
        row == corner for row, _, corner in greys(Feed(one, np.arange(12), 6, 0, augmentation=plainly(background=0)))
    )


def test_a_part_takes_a_colour_of_its_own_and_so_does_the_background():
    batch = images(1.0, "parts")
    batch.parts[1, 6, 6] = IGNORE
    got = recoloured(batch, 1.0, torch.Generator().manual_seed(3)).image
    square = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    square[:4, :4] = True
    inside, outside = got[0][:, square], got[0][:, ~square]
    for region in (inside, outside):
        assert (region == region[:, :1]).all(), "a region keeps what it shows"
    assert (inside[:, 0] - outside[:, 0]).abs().min() > 0.01 and inside[:, 0].unique().numel() == 3
    assert (got - 1).abs().max() <= 0.8 and not torch.equal(got[0, :, 0, 0], got[1, :, 0, 0])
    assert (got[1, :, 6, 6] != got[1, :, 7, 7]).all(), "what nobody labelled is a region, too"
    assert (batch.image == 1).all() and got.is_contiguous(memory_format=torch.channels_last)


def test_images_without_a_part_mask_and_others_than_a_share_keep_their_colours():
    assert torch.equal(recoloured(images(1.0, "mask"), 1.0).image, images(1.0).image)
    assert torch.equal(recoloured(images(1.0, "parts"), 0.0).image, images(1.0).image)
    many = images(1.0, "parts")[torch.zeros(400, dtype=torch.long)]
    seen = recoloured(many, 0.5, torch.Generator().manual_seed(0)).image
    assert 0.4 < (seen != 1).flatten(1).any(1).float().mean() < 0.6


def test_processes_vary_images_as_one_would(monkeypatch):
    feed = Feed(store(), np.arange(12), 6, 0, augmentation=plainly(background=0.5, part_colours=0.5))
    whole = list(feed.epoch(1))
    for rank in (0, 1):
        monkeypatch.setattr("coarseparts.system.parallel.count", lambda: 2)
        monkeypatch.setattr("coarseparts.system.parallel.rank", lambda rank=rank: rank)
        for mine, all_of in zip(feed.epoch(1), whole, strict=True):
            assert torch.equal(mine.image, all_of.image[rank * 3 : rank * 3 + 3])
