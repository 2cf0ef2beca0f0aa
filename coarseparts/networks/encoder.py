"""The image encoder: any timm ResNet, read out at strides 1, 2, 4, 8 and 16 (Fig. 6, left column)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coarseparts.system.text import brief

if TYPE_CHECKING:  # timm takes seconds to import and is not needed before there is a network
    from timm.models.resnet import ResNet


class Encoder(nn.Module):
    """Images (B, C, H, W) -> these, and features at strides 2, 4, 8 and 16, finest first. H and W: multiples of 16.

    ``name`` is a timm ResNet ("resnet18", "resnet34", "resnet50", ...) or "resnet10", the four-block toy.
    ``stages`` 4 keeps the last stage at stride 16 (Fig. 6: s=1); 3 leaves it out. ``dilate`` widens the last stage's
    convolutions to make up for the stride that was taken away; the paper's figure shows none.
    ``weights``: "random", "imagenet" (timm's own download), or a safetensors/pth file (see ``load_trunk``).
    """

    def __init__(
        self,
        name: str = "resnet34",
        in_channels: int = 3,
        weights: str = "random",
        stages: int = 4,
        dilate: bool = True,
    ):
        super().__init__()
        if stages not in (3, 4):
            raise ValueError(f"stages is {stages}; a stride-16 encoder has 3 or 4")
        trunk: Any = _trunk(name, in_channels, weights == "imagenet")
        self.missing: list[str] = []
        if weights not in ("random", "imagenet"):
            self.missing = load_trunk(trunk, Path(weights))
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.act1)
        self.pool = trunk.maxpool
        self.layers = nn.ModuleList([trunk.layer1, trunk.layer2, trunk.layer3])
        widths = [s["num_chs"] for s in trunk.feature_info[:4]]
        if stages == 4:
            self.layers.append(trunk.layer4)
            widths.append(trunk.feature_info[4]["num_chs"])
            if not dilate:
                _undilate(trunk.layer4)
        self.widths: list[int] = [in_channels, *widths[:3], widths[-1]]  # of strides 1, 2, 4, 8, 16

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        x = self.stem(x)
        features.append(x)
        x = self.pool(x)
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return [*features[:4], features[-1]]


def _trunk(name: str, in_channels: int, pretrained: bool) -> ResNet:
    import timm
    from timm.models.resnet import BasicBlock, ResNet

    if name == "resnet10":
        if pretrained:
            raise ValueError("resnet10 has no ImageNet weights; take --weights random, or --set encoder=resnet18")
        channels = (32, 64, 128, 256)
        return ResNet(
            cast(Any, BasicBlock),
            (1, 1, 1, 1),
            in_chans=in_channels,
            num_classes=0,
            output_stride=16,
            channels=channels,
        )
    try:
        model = timm.create_model(name, pretrained=pretrained, in_chans=in_channels, num_classes=0, output_stride=16)
    except Exception as error:  # of timm, of the network and of huggingface_hub: they share no class
        if pretrained:
            _trunk(name, in_channels, False)  # a wrong name is told first
            remedy = "give a file with --weights FILE, or --weights random"
            raise ValueError(f"cannot download the ImageNet weights of {name} ({brief(error)}); {remedy}") from error
        if isinstance(error, RuntimeError):
            raise ValueError(f"encoder {name!r}: {error}; see timm.list_models('resnet*') for the names") from error
        raise _no_resnet(name) from error  # TypeError: other families know no output_stride
    if not isinstance(model, ResNet):
        raise _no_resnet(name)
    return model


def is_resnet(name: str) -> bool:
    """Whether ``Encoder`` takes that name: "resnet10", or what timm builds from its ResNet class; unknown ones, too."""
    import timm
    from timm.models.resnet import ResNet

    plain = name.split(".")[0]
    return not timm.is_model(plain) or timm.model_entrypoint(plain).__module__ == ResNet.__module__


def refuse_unknown(name: str) -> None:
    """Raises ValueError for the name of an encoder that timm does not know, without building one."""
    import timm

    if name != "resnet10" and ":" not in name and not timm.is_model(name.split(".")[0]):  # "hf-hub:..." is no list's
        raise ValueError(f"--set encoder={name}: timm knows no such model; see timm.list_models() for the names")


def _no_resnet(name: str) -> ValueError:
    return ValueError(f"encoder {name!r} is not a ResNet; take one of timm.list_models('resnet*')")


def _undilate(layer: nn.Module) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.dilation, module.padding = (1, 1), (1, 1)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or pth file by name. Raises ValueError naming the file when it is missing or
    damaged, or holds something else."""
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such weights file; give a safetensors or pth file, 'imagenet' or 'random'")
    remedy = "give a safetensors or pth file"
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _load_pth(path)
    except Exception as error:
        why = f" ({said})" if " " in (said := brief(error)) else ""  # of what is no such file, a mere kind of error
        raise ValueError(f"{path}: cannot be read as weights{why}; {remedy}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds a {type(found).__name__}, expected tensors by name; {remedy}")
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path}: holds no tensor by name (but {str(list(found))[:60]}); save the state_dict alone")
    return tensors


def _load_pth(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats
        return torch.load(path, map_location="cpu", weights_only=True)


def load_trunk(trunk: nn.Module, path: Path) -> list[str]:
    """Loads what a weights file holds (torchvision/timm ResNet names) and returns the names that it lacks.

    float16 is widened; ``fc`` and counters are passed over. Raises ValueError naming the file when it holds
    nothing that fits or a tensor of another shape.
    """
    found = read_weights(path)
    own = trunk.state_dict()
    fitting = {}
    for name, value in found.items():
        if name in own and not name.endswith("num_batches_tracked"):
            if own[name].shape != value.shape:
                raise ValueError(
                    f"{path}: {name} is {tuple(value.shape)}, the encoder expects {tuple(own[name].shape)}; "
                    "choose the encoder that these weights belong to"
                )
            fitting[name] = value.to(own[name].dtype)
    if not fitting:
        raise ValueError(f"{path}: no tensor fits this encoder (the file has e.g. {sorted(found)[:3]})")
    trunk.load_state_dict({**own, **fitting})
    return sorted(n for n in own if n not in fitting and not n.endswith("num_batches_tracked") and "fc." not in n)
