"""Any other timm backbone as image encoder: ConvNeXt, EfficientNet, Swin, plain ViTs (DINOv2), read at four strides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coarseparts.networks.decoder import conv_bn_relu
from coarseparts.networks.encoder import Encoder, is_resnet, read_weights
from coarseparts.system.text import brief

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

DETAIL = {2: 32, 4: 64, 8: 64}
"""Channels of the convolutions that see the image itself at strides which the backbone leaves out."""

TRANSFORMER_FACTOR = 0.1
"""What an encoder's learning rate is multiplied by where it is a plain ViT, unless a setting says otherwise."""


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised as for ImageNet -> these, and features at strides 2, 4, 8 and 16.

    ``name``: a timm model. H and W: multiples of 16. A backbone of growing strides is read at those it has, what lies
    at stride 32 joins stride 16. A plain ViT knows one stride; the image is resized so that its patches make a map of
    stride 16 (or 8, for patches of 8 pixels and less), whatever their size. Strides that a backbone lacks come from a
    few convolutions at the image itself: without them an eye of three pixels has no place to be seen at.

    ``weights``: "random", "imagenet" (whatever timm offers under that name, self-supervised ones included), or a
    safetensors/pth file with timm's names. ``missing``: the names that such a file lacks.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, name: str, weights: str = "random"):
        super().__init__()
        self.name, self.missing = name, list[str]()
        self.net = _create(name, weights)
        if weights not in ("random", "imagenet"):
            self.missing = _lacking(self.net, Path(weights))
        reductions, widths = self.net.feature_info.reduction(), self.net.feature_info.channels()
        self.plain = len(set(reductions)) == 1
        self.patch = reductions[0] if self.plain else 1
        self.grid = 8 if self.plain and self.patch <= 8 else 16
        at: dict[int, int] = {}
        self.strides: list[int] = []
        for reduction, width in zip(reductions, widths, strict=True):
            stride = self.grid if self.plain else min(reduction, 16)
            self.strides.append(stride)
            at[stride] = at.get(stride, 0) + width
        self.detail, inputs = nn.ModuleDict(), 3
        for stride, width in DETAIL.items():
            if any(s not in at for s in DETAIL if s >= stride):
                self.detail[str(stride)] = conv_bn_relu(inputs, width, 3, 2)
                inputs = width
        self.widths: list[int] = [3, *(at.get(s) or DETAIL[s] for s in (2, 4, 8)), at.get(16) or at[8]]
        mean, std = (self.net.default_cfg.get(k) for k in ("mean", "std"))
        gain, shift = _renormalise(mean or IMAGENET_MEAN, std or IMAGENET_STD)
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        image, (h, w) = x, x.shape[-2:]
        seen = x * self.gain + self.shift
        if self.plain:
            size = (h // self.grid * self.patch, w // self.grid * self.patch)
            if size != (h, w):
                seen = F.interpolate(seen, size=size, mode="bilinear", antialias=size[0] < h)
        at: dict[int, list[Tensor]] = {}
        for stride, feature in zip(self.strides, self.net(seen), strict=True):
            if getattr(self.net, "output_fmt", "NCHW") == "NHWC":
                feature = feature.movedim(-1, 1)
            if feature.shape[-2:] != (h // stride, w // stride):  # stride 32 joins 16
                feature = F.interpolate(feature, size=(h // stride, w // stride), mode="bilinear")
            at.setdefault(stride, []).append(feature)
        maps = {stride: torch.cat(found, dim=1) for stride, found in at.items()}
        for name, layer in self.detail.items():
            x = layer(x)
            maps.setdefault(int(name), x)
        if 16 not in maps:
            maps[16] = F.avg_pool2d(maps[8], 2)
        return [image, *(maps[s] for s in (2, 4, 8, 16))]


def build_encoder(name: str, weights: str = "random", stages: int = 4, dilate: bool = True) -> Encoder | Backbone:
    """The image encoder of that name: ``Encoder`` for timm's ResNets and "resnet10", ``Backbone`` for all others.

    Raises ValueError for an unknown name, a download that fails and weights that do not fit.
    """
    return Encoder(name, 3, weights, stages, dilate) if is_resnet(name) else Backbone(name, weights)


def rate_factors(module: nn.Module, factor: float | None = None) -> dict[nn.Parameter, float]:
    """What the learning rates of the image encoders inside ``module`` are multiplied by, where that is not 1.

    ``factor`` for all of them, or None: ``TRANSFORMER_FACTOR`` for plain ViTs, which do not stand a convnet's rate.
    """
    factors: dict[nn.Parameter, float] = {}
    for encoder in module.modules():
        if isinstance(encoder, Encoder | Backbone):
            trunk = encoder.net if isinstance(encoder, Backbone) else encoder
            own = factor or (TRANSFORMER_FACTOR if getattr(encoder, "plain", False) else 1.0)
            factors |= {p: own for p in trunk.parameters() if own != 1}
    return factors


def _create(name: str, weights: str) -> Any:
    import timm  # here, for it takes seconds to import

    file = weights not in ("random", "imagenet")
    if file:
        read_weights(Path(weights))  # a missing or damaged file is named before anything else
    given: dict[str, Any] = {"pretrained_cfg_overlay": {"file": weights}} if file else {}
    errors = []
    any_size: list[dict[str, Any]] = [{"dynamic_img_size": True}, {"strict_img_size": False}, {}]
    for extra in any_size:
        try:
            return timm.create_model(name, pretrained=weights != "random", features_only=True, **given, **extra)
        except TypeError as error:  # this family does not know that argument
            errors.append(error)
        except Exception as error:  # of timm, of the network and of huggingface_hub: they share no class
            if file:
                raise ValueError(
                    f"{weights}: does not fit {name} ({brief(error)}); choose the encoder it is of"
                ) from error
            if weights == "imagenet":
                _create(name, "random")  # a wrong name is told first
                remedy = "give a file with --weights FILE, or --weights random"
                raise ValueError(f"cannot download the weights of {name} ({brief(error)}); {remedy}") from error
            raise ValueError(f"encoder {name!r}: {brief(error)}; see timm.list_models() for the names") from error
    raise ValueError(f"encoder {name!r} cannot be read at several strides ({brief(errors[-1])}); choose another")


def _lacking(net: nn.Module, path: Path) -> list[str]:
    """Names of the network that a file lacks. Raises ValueError when nothing of the file is in it."""

    def plain(name: str) -> str:  # timm's feature networks write stages_0 for stages.0
        return name.removeprefix("model.").replace(".", "_")

    found = {plain(k) for k in read_weights(path)}
    own = [k for k in net.state_dict() if not k.endswith("num_batches_tracked")]
    missing = [k for k in own if plain(k) not in found]
    if len(missing) == len(own):
        raise ValueError(f"{path}: no tensor fits this encoder; choose the encoder that these weights belong to")
    return sorted(missing)


def _renormalise(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Gain and shift, (3, 1, 1), from ImageNet's normalisation to another."""
    ours = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    gain = ours[1] / torch.tensor(std)
    shift = (ours[0] - torch.tensor(mean)) / torch.tensor(std)
    return gain[:, None, None], shift[:, None, None]
