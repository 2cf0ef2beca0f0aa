"""Convolutions in bfloat16: the same networks to its rounding, float32 outside, trained weights float32."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.networks import Encoder, LabelModel, PartModel, Posterior, fastest
from coarseparts.networks.precision import DTYPES
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings


def networks() -> list[tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]:
    torch.manual_seed(0)
    image, drawn = torch.randn(4, 3, 32, 32), torch.rand(4, 5, 32, 32)
    return [
        (PartModel(Encoder("resnet10", stages=3), 4, "stride4"), (image,)),
        (Posterior(Encoder("resnet10", stages=3), 5, 4, "stride4"), (image, drawn)),
        (LabelModel(5, 3, "paper", "resnet10"), (drawn.softmax(1),)),
    ]


def test_the_same_function_to_rounding_and_float32_outside() -> None:
    for network, inputs in networks():
        twin = copy.deepcopy(network)
        twin.precision = "bfloat16"  # type: ignore[assignment]
        exact, rounded = network(*inputs), twin(*inputs)
        assert exact.dtype == rounded.dtype == torch.float32
        assert not torch.equal(exact, rounded), "or it did not compute in bfloat16"
        assert float(((exact - rounded).norm() / exact.norm()).detach()) < 0.05
        rounded.square().mean().backward()
        for name, parameter in twin.named_parameters():
            assert parameter.dtype == torch.float32, name
            assert parameter.grad is not None, name
            assert parameter.grad.dtype == torch.float32, name


def test_auto_is_decided_once_by_what_the_machine_multiplies() -> None:
    assert fastest("cpu") in DTYPES
    assert fastest("mps") == "float32"
    assert resolve(settings(), "cpu").precision == fastest("cpu")
    assert resolve(settings("paper", {"weights": "random"}), "cpu").precision == "float32"


@pytest.mark.parametrize(("kind", "format"), [("light", "float32"), ("paper", "bfloat16")])
def test_a_large_label_model_computes_as_the_others_do(kind: str, format: str) -> None:
    chosen = resolve(settings(changes={"precision": "bfloat16", "label_model": kind}), "cpu")
    styles = build(birds.SCHEMA, chosen, ["keypoints", "mask"]).theta_k
    assert [m.precision for m in styles.modules() if isinstance(m, LabelModel)] == [format]


@pytest.mark.parametrize("able", ["float32", "bfloat16"])
def test_a_model_predicts_in_what_the_machine_that_loads_it_can(
    able: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = resolve(settings(changes={"precision": "bfloat16"}), "cpu")
    trained = build(birds.SCHEMA, chosen, ["mask"])
    assert trained.part_model.precision == "bfloat16"
    Model(trained, birds.SCHEMA, chosen, ["mask"], 32, {"to": "none", "margin": 0.0}, True).save(tmp_path)
    monkeypatch.setattr("coarseparts.inference.model.fastest", lambda device: able)
    assert Model.load(tmp_path).networks.part_model.precision == able
