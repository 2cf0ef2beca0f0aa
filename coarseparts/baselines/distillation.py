"""Distillation from the frozen posterior: EM without its E-step, the control that EM has to beat.

The part model learns from the initial posterior's labels of the coarse images, with the same loss, batches, schedule
and number of steps as in EM's M-step; nothing moves the posterior or the label models.
"""

from __future__ import annotations

from coarseparts.em import Options


def options(o: Options) -> Options:
    """EM's options with the posterior and the label models frozen."""
    return o.model_copy(update={"frozen_posterior": True, "train_label_models": False})
