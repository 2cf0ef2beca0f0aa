"""Modules and base rates to an optimizer, as the settings say."""

from __future__ import annotations

import torch
from torch import nn

from coarseparts.networks import rate_factors
from coarseparts.presets import Settings


def optimizer_of(s: Settings, groups: list[tuple[nn.Module, float]], encoders: bool = True) -> torch.optim.Optimizer:
    """An optimizer over (module, base rate) pairs; ``encoders``: whether the settings' factors for image encoders and
    for networks that start random hold here."""
    factor = s.random_start_factor if encoders and s.weights == "random" else 1.0
    params = []
    for module, lr in groups:
        scaled = rate_factors(module, s.encoder_factor) if encoders else {}
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in module.parameters():
            if parameter.requires_grad:
                by_factor.setdefault(scaled.get(parameter, 1.0), []).append(parameter)
        params += [{"params": found, "lr": factor * own * lr} for own, found in by_factor.items()]
    if s.optimizer == "sgd":
        on_gpu = all(parameter.is_cuda for module, _ in groups for parameter in module.parameters())
        return torch.optim.SGD(params, lr=1e-3, momentum=0.9, weight_decay=s.weight_decay, fused=on_gpu)
    kind = torch.optim.AdamW if s.optimizer == "adamw" else torch.optim.Adam
    return kind(params, lr=1e-3, weight_decay=s.weight_decay, fused=True)
