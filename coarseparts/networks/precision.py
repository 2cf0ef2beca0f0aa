"""In which floating-point format the networks' convolutions run; losses and norms' sums stay float32.

So do light label models: they are a fiftieth of the work, on few channels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def fastest(device: str) -> str:
    """ "bfloat16" where the device multiplies it natively, else "float32"."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else "float32"
    asked = getattr(torch.cpu, "get_capabilities", dict)  # which torch 2.6 has not; float32 is right everywhere
    able: dict[str, bool] = asked() if device == "cpu" else {}
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """A context in which convolutions on ``device`` compute in ``precision``, their weights staying float32."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, DTYPES[precision])
