"""What coarse images teach: less, the more the part model knows more of them than the posterior."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy import toy

from coarseparts import em
from coarseparts.data.sample import Batch
from coarseparts.joint import JointModel
from coarseparts.labels import ExclusiveParts
from coarseparts.training import methods, stages, teaching
from coarseparts.training.task import Task


class _Knows(nn.Module):
    """Says the true parts, or anything but them, where it sees a label of a style; else nothing."""

    def __init__(self, joint: JointModel, style: str, wrong: bool = False) -> None:
        super().__init__()
        self.joint, self.wrong = joint, wrong
        self.channel = list(joint.styles).index(style) - len(joint.styles)
        self.parts = torch.zeros(0)

    def forward(self, image: Tensor, drawn: Tensor) -> Tensor:
        logits = torch.zeros(len(image), self.joint.y.outputs, *image.shape[2:])
        told = 4 * self.joint.y.certain(self.parts[: len(image)]).float()
        return logits + (-told if self.wrong else told) * drawn[:, self.channel, :1, :1].reshape(-1, 1, 1, 1)


@pytest.fixture
def one_each(tmp_path: Path) -> tuple[Task, Any]:
    task, run = toy(tmp_path / "store", tmp_path / "run")
    return replace(task, store=task.store.labels_sampled(task.rows.coarse, 1, 0)), run


def asked(task: Task, joint: JointModel, posterior: _Knows) -> JointModel:
    posterior.parts = torch.cat([batch.parts for batch in task.val_feed.plain()])
    return replace(joint, posterior=posterior)


def coarse(task: Task) -> Batch:
    return next(task.coarse_feed.plain(len(task.rows.coarse)))


def test_labels_with_which_the_part_model_knows_more_do_not_teach(one_each: tuple[Task, Any]) -> None:
    task, _ = one_each
    plain = stages.untrained(task)
    joint = asked(task, plain, _Knows(plain, "box", wrong=True))
    told = teaching.choose(task, joint)
    assert set(told) == {"keypoints", "mask", "box"} and told["box"] == 0
    batch = coarse(task)
    weights = joint.weights(batch)
    assert weights is not None
    for style, weight in told.items():
        assert (weights[batch.present[style]] == weight).all()
    better = asked(task, plain, _Knows(plain, "box"))
    assert teaching.choose(task, better)["box"] == 1


def test_all_teach_where_nothing_else_would_or_nothing_is_to_be_chosen(
    one_each: tuple[Task, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = one_each
    joint = stages.untrained(task)
    worse = np.array([[[-2.0, -2.2]], [[-1.0, -1.2]]])
    monkeypatch.setattr(teaching, "_likelihoods", lambda _, __, subsets: [worse] * len(subsets))
    assert teaching.choose(task, joint) == {"keypoints": 0, "mask": 0, "box": 0} and joint.teaching is None
    monkeypatch.undo()
    settings = task.settings.model_copy(update={"em": task.settings.em.model_copy(update={"teach": "all"})})
    assert teaching.choose(replace(task, settings=settings), joint) == {} and joint.teaching is None
    assert teaching.choose(replace(task, store=task.full), joint) == {}, "all have all labels"


@pytest.mark.parametrize(
    ("posterior", "weight"), [(-0.9, 1.0), (-1.0, 1.0), (-1.05, 0.75), (-1.1, 0.5), (-1.2, 0.0), (-3.0, 0.0)]
)
def test_the_weight_falls_as_the_posterior_needs_more_nats(posterior: float, weight: float) -> None:
    found = teaching._weight(np.array([[posterior, posterior], [-9, -9]]), np.array([[-1.5, -0.5], [-9.0, -9.0]]))
    assert found == pytest.approx(weight)
    assert teaching._weight(np.zeros((2, 0)), np.zeros((2, 0))) == 1, "no image says anything"


def test_idle_images_have_no_part_in_the_m_step(one_each: tuple[Task, Any]) -> None:
    torch.manual_seed(0)
    labelled = next(one_each[0].labelled_feed.plain(1))
    count, size = len(one_each[0].schema.parts), labelled.image.shape[-1]
    y, o = ExclusiveParts(count), em.Options()
    log_q = y.log_probability(torch.randn(4, count + 1, size, size))
    logits, logits_p = torch.randn(4, count + 1, size, size), torch.randn(1, count + 1, size, size)
    some = em.m_step(y, log_q, logits, labelled, logits_p, o, weights=torch.tensor([1.0, 0, 1, 0]))
    alone = em.m_step(y, log_q[::2], logits[::2], labelled, logits_p, o)
    assert {key: float(value) for key, value in some.items() if "coarse" in key} == pytest.approx(
        {key: float(value) / 2 for key, value in alone.items() if "coarse" in key}
    )
    ones = em.m_step(y, log_q, logits, labelled, logits_p, o, weights=torch.ones(4))
    assert ones == em.m_step(y, log_q, logits, labelled, logits_p, o)


@pytest.mark.parametrize("method", ["em", "distillation"])
def test_a_training_tells_what_does_not_teach(
    one_each: tuple[Task, Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, run = one_each
    told: list[str] = []
    run.console.print = lambda *text, **_: told.extend(map(str, text))
    worse = np.array([[[-1.15]], [[-1.0]]])
    monkeypatch.setattr(
        teaching, "_likelihoods", lambda _, __, subsets: [worse if "box" in s else worse[::-1] for s in subsets]
    )
    seen: list[Tensor] = []
    step = em.m_step
    monkeypatch.setattr(em, "m_step", lambda *a, **k: (seen.append(a[7]), step(*a, **k))[1])
    methods.train(task, run, method)
    lines = [line for line in told if "weight" in line]
    assert len(lines) == 2 and lines[0].startswith(f"  {method}: a coarse image's weight in epoch 1: ")
    assert all("0.25 given box" in line and "1.00 given mask" in line for line in lines)
    assert len(seen) == task.settings.em_epochs * task.em_steps
    assert set(torch.cat(seen).tolist()) == {0.25, 1.0}
    weights = {(epoch, m): v for epoch, m, v in run.stages[method].history if m.startswith("weight/")}
    assert weights[1, "weight/box"] == pytest.approx(0.25) and weights[1, "weight/mask"] == 1
