"""What Algorithm 1 starts from: fitting by stages, certain parts as probabilities, scales by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from coarseparts import initialise, updates
from coarseparts.data.sample import Batch
from coarseparts.joint import JointModel
from coarseparts.labels import ExclusiveParts, Keypoints, LabelStyle, Mask
from coarseparts.updates import Epochs, TrainingDiverged

SIZE, CLASSES = 16, 3
Y = ExclusiveParts(2)
Loss = Callable[[Batch, torch.Generator], dict[str, Tensor]]


def batch(count: int = 4, seed: int = 0, labelled: bool = True) -> Batch:
    """Pixels whose colour tells their part, with noise; one keypoint, the mask, and no box."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.zeros(count, SIZE, SIZE, dtype=torch.int64)
    at = torch.randint(2, 8, (count, 2), generator=generator)
    for i, (x, y) in enumerate(at.tolist()):
        parts[i, y : y + 6, x : x + 3], parts[i, y : y + 6, x + 3 : x + 6] = 1, 2
    image = nn.functional.one_hot(parts, CLASSES).movedim(-1, 1).float()
    image = image + 0.5 * torch.randn(image.shape, generator=generator)
    points = torch.cat([at + 3.0, torch.full((count, 1), 2.0)], dim=1)[:, None]
    there = torch.ones(count, dtype=torch.bool)
    return Batch(
        image,
        parts if labelled else torch.full_like(parts, 255),
        {"keypoints": points, "mask": (parts > 0).float()[:, None]},
        {"keypoints": there, "mask": there, "parts": there & labelled},
        torch.arange(count),
    )


class Seen(nn.Module):
    """A posterior of one convolution over image and drawn labels, side by side."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layer = nn.Conv2d(inputs, CLASSES, 1)

    def forward(self, image: Tensor, drawn: Tensor) -> Tensor:
        return self.layer(torch.cat([image, drawn], dim=1))


def make() -> JointModel:
    torch.manual_seed(0)
    map_of = nn.Sequential(nn.Conv2d(CLASSES, 8, 7, padding=3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))
    styles = {"keypoints": Keypoints(1, map_of, sigma=0.1, stride=1, distance="squared"), "mask": Mask(Y)}
    return JointModel(nn.Conv2d(3, CLASSES, 1), Seen(3 + 1 + 1 + 2), styles, Y)


def feed(epoch: int) -> Iterator[Batch]:
    for i in range(3):
        yield batch(4, 10 * epoch + i)


def fitted(network: nn.Module, loss: Loss, epochs: int = 8, seed: int = 0) -> list[dict[str, float]]:
    seen: list[dict[str, float]] = []
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    updates.fit(network, optimizer, loss, Epochs(feed, epochs, 3, lambda _, means: seen.append(means), seed))
    return seen


def test_fitting_the_part_model_lowers_its_loss_and_finds_the_parts() -> None:
    networks = make()
    seen = fitted(networks.part_model, initialise.part_model_loss(networks.part_model, Y))
    assert len(seen) == 8
    assert seen[-1]["labelled"] < 0.7 * seen[0]["labelled"]
    new = batch(4, 99)
    right = networks.part_model(new.image).argmax(1) == new.parts
    assert float(right.float().mean()) > 0.85


def test_fitting_the_posterior_moves_it_alone_and_uses_the_labels() -> None:
    networks = make()
    before = [p.detach().clone() for p in networks.part_model.parameters()]
    seen = fitted(networks.posterior, initialise.posterior_loss(networks, dropout=0.2, blank=0.2))
    assert seen[-1]["labelled"] < 0.7 * seen[0]["labelled"]
    assert all(torch.equal(a, b) for a, b in zip(before, networks.part_model.parameters(), strict=True))
    new = batch(4, 99)
    told = networks.infer(new)
    new.present["mask"] = torch.zeros(4, dtype=torch.bool)
    untold = networks.infer(new)
    outside = new.parts == 0
    assert float(told[:, 0][outside].detach().mean()) > float(untold[:, 0][outside].detach().mean())


def test_fitting_label_models_moves_the_learned_ones_only() -> None:
    networks = make()
    teacher = lambda b: torch.zeros(len(b), CLASSES, SIZE, SIZE).log_softmax(1)  # noqa: E731
    seen = fitted(networks.theta_k, initialise.label_model_loss(networks, teacher))
    assert set(seen[0]) == {"keypoints"}, "the mask has nothing to learn"
    assert seen[-1]["keypoints"] < 0.7 * seen[0]["keypoints"]


def test_label_models_learn_from_true_parts_where_there_are_and_from_the_teacher_elsewhere() -> None:
    networks = make()
    mixed = batch(4, 3)
    mixed.parts[2:] = 255
    mixed.present["parts"] = torch.tensor([True, True, False, False])
    taught = torch.randn(4, CLASSES, SIZE, SIZE).log_softmax(1)
    loss = initialise.label_model_loss(networks, lambda _: taught)(mixed, torch.Generator())

    networks.theta_k.train()
    style = dict(networks.styles.items())["keypoints"]
    true = nn.functional.one_hot(mixed.parts[:2], CLASSES).movedim(-1, 1).float()
    by_hand = torch.cat([(true + 1e-9).log(), taught[2:]])
    expected = style.loss(mixed.labels["keypoints"], style.predict(by_hand)).mean()
    torch.testing.assert_close(loss["keypoints"], expected, atol=1e-4, rtol=1e-3)


def test_fitting_goes_on_where_it_was_left() -> None:
    whole, part = make(), make()
    fitted(whole.part_model, initialise.part_model_loss(whole.part_model, Y), 2, seed=3)

    optimizer = torch.optim.Adam(part.part_model.parameters(), 0.05)
    loss = initialise.part_model_loss(part.part_model, Y)

    class Killed(Exception):
        pass

    def stop(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        updates.fit(part.part_model, optimizer, loss, Epochs(feed, 2, 3, stop, seed=3))
    resumed = torch.optim.Adam(part.part_model.parameters(), 0.05)
    resumed.load_state_dict(optimizer.state_dict())
    updates.fit(part.part_model, resumed, loss, Epochs(feed, 2, 3, lambda *_: None, seed=3, start=1))
    for a, b in zip(whole.part_model.parameters(), part.part_model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_stops_the_fit_before_the_weights_move() -> None:
    networks = make()
    before = [p.detach().clone() for p in networks.part_model.parameters()]

    def broken(b: Batch, _: torch.Generator) -> dict[str, Tensor]:
        return {"labelled": networks.part_model(b.image).mean() * math.nan}

    with pytest.raises(TrainingDiverged, match="labelled"):
        fitted(networks.part_model, broken)
    assert all(torch.equal(a, b) for a, b in zip(before, networks.part_model.parameters(), strict=True))


def test_scales_are_fitted_on_held_out_images_and_set() -> None:
    networks = make()
    held_out = [batch(8, seed) for seed in (5, 6, 7)]
    wrong = 0
    for b in held_out:  # a mask that contradicts the parts at every twentieth pixel
        flat = b.labels["mask"].view(-1)
        flat[::20] = 1 - flat[::20]
        wrong += len(flat[::20])
    scales = initialise.fit_scales(networks, held_out)
    assert set(scales) == {"keypoints", "mask"}
    assert float(scales["mask"]) == pytest.approx(wrong / (3 * 8 * SIZE**2), rel=1e-4)
    for name, style in networks.styles.items():
        assert torch.equal(style.scale, scales[name])
    assert networks.theta_k.training, "as it was before"

    networks.theta_k.eval()
    style = dict(networks.styles.items())["keypoints"]
    residuals = []
    for b in held_out:
        parts = nn.functional.one_hot(b.parts, CLASSES).movedim(-1, 1).float().clamp(1e-6).log()
        heat = style.draw(b.labels["keypoints"], SIZE)
        residuals.append((heat - style.predict(parts)).square())
    torch.testing.assert_close(scales["keypoints"], torch.cat(residuals).mean().reshape(1), rtol=1e-2, atol=0)


def test_only_images_with_parts_and_the_label_count_for_a_scale() -> None:
    networks = make()
    kept: LabelStyle = dict(networks.styles.items())["keypoints"]
    kept.set_scale(torch.tensor([0.123]))
    b = batch(8, 5)
    b.present["keypoints"] = torch.zeros(8, dtype=torch.bool)
    b.present["parts"] = torch.arange(8) < 4
    b.parts[4:] = 255
    b.labels["mask"][4:] = 1 - b.labels["mask"][4:]  # would be noise, if it counted
    scales = initialise.fit_scales(networks, [b])
    assert set(scales) == {"mask"}
    assert float(scales["mask"]) == pytest.approx(1e-3), "no contradiction: the smallest noise that is allowed"
    assert float(kept.scale) == pytest.approx(0.123)


def test_ignored_pixels_do_not_count_as_contradictions() -> None:
    networks = make()
    plain, with_ignored = batch(8, 5), batch(8, 5)
    with_ignored.parts[:, :, 12:] = 255  # where all masks are mostly background
    a = float(initialise.fit_scales(networks, [plain])["mask"])
    assert float(initialise.fit_scales(networks, [with_ignored])["mask"]) == pytest.approx(a, abs=1e-3)
