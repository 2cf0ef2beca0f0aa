"""Fine-tuning (section 5.1): the part labels alone, for at least as many optimizer steps as EM takes in all."""

from __future__ import annotations

import math


def epochs_to_match(part_steps: int, part_epochs: int, em_steps: int, em_epochs: int) -> int:
    """Epochs of ``part_steps`` steps that are at least the part model's steps in all of EM's stages.

    The training itself is ``updates.fit`` with ``part_model_loss``, as in EM's first stage.
    """
    return part_epochs + math.ceil(em_steps * em_epochs / part_steps)
