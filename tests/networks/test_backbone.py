"""Backbones of other families: features where the decoder wants them, weights from a file, rates for transformers."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from coarseparts.networks import Backbone, Encoder, PartModel, build_encoder, rate_factors

FAMILIES = ["convnext_atto", "mobilenetv3_small_050", "vit_tiny_patch16_224", "test_vit", "test_convnext"]


@pytest.mark.parametrize("name", FAMILIES)
def test_features_come_at_five_strides_of_any_image(name: str) -> None:
    encoder = Backbone(name).eval()
    with torch.no_grad():
        features = encoder(torch.randn(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [
        (2, width, 64 // s, 96 // s) for width, s in zip(encoder.widths, (1, 2, 4, 8, 16), strict=True)
    ]
    model = PartModel(encoder, 5, "stride1")
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 5, 64, 64)


def test_a_vit_with_patches_of_14_sees_the_whole_image_on_a_grid_of_16() -> None:
    """DINOv2's patches: a bright corner must light up the same corner of the map, whatever the patch's size."""
    torch.manual_seed(0)
    encoder = Backbone("vit_small_patch14_dinov2.lvd142m").eval()
    assert (encoder.patch, encoder.grid) == (14, 16)
    dark, lit = torch.zeros(1, 3, 64, 96), torch.zeros(1, 3, 64, 96)
    lit[..., 48:, 80:] = 3.0
    with torch.no_grad():
        change = (encoder(lit)[-1] - encoder(dark)[-1]).abs().sum(1)[0]
    assert change.shape == (4, 6)
    assert int(change.argmax()) == 23, "the last of 4 x 6 patches"


def test_images_are_renormalised_for_networks_trained_on_another_normalisation() -> None:
    encoder = Backbone("vit_tiny_patch16_224")  # mean and standard deviation 0.5
    white = (torch.ones(3, 1, 1) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    torch.testing.assert_close(white * encoder.gain + encoder.shift, torch.ones(3, 1, 1))


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_weights_come_from_a_file_with_timms_names(name: str, tmp_path: Any) -> None:
    torch.manual_seed(1)
    source = timm.create_model(name, pretrained=False)
    path = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, path)
    torch.manual_seed(2)
    loaded, other = Backbone(name, str(path)), Backbone(name)
    theirs = {k.replace(".", "_"): v for k, v in source.state_dict().items()}
    same = [
        torch.equal(v, theirs[k.removeprefix("model.").replace(".", "_")])
        for k, v in loaded.net.state_dict().items()
        if k.removeprefix("model.").replace(".", "_") in theirs
    ]
    assert len(same) > 5
    assert all(same)
    assert loaded.missing == []
    assert any(not torch.equal(a, b) for a, b in zip(loaded.parameters(), other.parameters(), strict=True))


def test_a_file_of_another_network_is_refused_by_name(tmp_path: Any) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"some.other": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        Backbone("test_vit", str(path))
    with pytest.raises(ValueError, match="no such weights file"):
        Backbone("test_vit", str(tmp_path / "none.safetensors"))


def test_names_find_their_class_and_unknown_ones_are_told() -> None:
    assert isinstance(build_encoder("resnet10", stages=3), Encoder)
    assert isinstance(build_encoder("test_convnext"), Backbone)
    with pytest.raises(ValueError, match="perceptron99"):
        build_encoder("perceptron99")


def test_transformers_learn_more_slowly_but_the_convolutions_beside_them_do_not() -> None:
    model = PartModel(Backbone("test_vit"), 3, "stride4")
    factors = rate_factors(model)
    trunk = list(model.encoder.net.parameters())
    assert set(factors.values()) == {0.1}
    assert {id(p) for p in factors} == {id(p) for p in trunk}
    assert not rate_factors(PartModel(Backbone("test_convnext"), 3, "stride4"))
    halved = rate_factors(nn.ModuleList([Encoder("resnet10", stages=3)]), 0.5)
    assert halved
    assert set(halved.values()) == {0.5}
