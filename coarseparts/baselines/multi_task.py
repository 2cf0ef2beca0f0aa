"""MultiTask (section 5.1): one encoder, decoders for parts and for keypoints; the mask supervises the parts' sum."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from coarseparts.baselines.baseline import Baseline, BaselineOptions, both_images, both_labels
from coarseparts.data.sample import Batch
from coarseparts.initialise import supervised_terms
from coarseparts.labels import Keypoints, Mask, Parts
from coarseparts.networks import PartModel, computing_in
from coarseparts.updates import Terms


class Options(BaselineOptions):
    """Weights of the losses. The paper's are 1, 1 and 10, its keypoint loss being the l1 distance of heat maps."""

    parts: float = Field(1.0, ge=0, description="weight of the part labels")
    mask: float = Field(0.5, ge=0, description="weight of the figure-ground mask")
    keypoints: float = Field(0.5, ge=0, description="weight of the keypoints")


class MultiTask(Baseline):
    """``decoder`` reads ``part_model``'s encoder and writes keypoint maps (B, K, H / stride, W / stride).

    ``keypoints`` says what those maps mean (its ``distance`` and ``stride``; it has no model of its own). Without
    ``decoder`` there is the mask alone. Where parts overlap they do not fill the mask, and ``mask_decoder`` writes its
    logit (B, 1, H, W). Labels that an image lacks count for nothing.
    """

    def __init__(
        self,
        part_model: PartModel,
        decoder: nn.Module | None,
        keypoints: Keypoints | None,
        use_mask: bool,
        o: Options,
        y: Parts,
        dice: float = 0.0,
        mask_decoder: nn.Module | None = None,
    ):
        super().__init__()
        self.part_model, self.decoder, self.keypoints, self.mask_decoder = part_model, decoder, keypoints, mask_decoder
        self.o, self.dice, self.y = o, dice, y
        # What ``mask_decoder`` writes is the mask's logit already.
        self.mask = Mask(y, model=None if mask_decoder is None else nn.Identity()) if use_mask else None
        self.theta = None if keypoints is None else keypoints.theta

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        x, n = both_images(coarse, labelled), len(coarse)
        logits, heat, figure = self._forward(x)
        terms = {
            k: self.o.parts * v for k, v in supervised_terms(logits[n:], labelled.parts, self.y, self.dice).items()
        }
        if self.mask is not None:
            label, there = both_labels(coarse, labelled, "mask")
            mean = self.mask.predict(self.y.log_probability(logits)) if figure is None else figure
            cost = self.mask.loss(label, mean)
            terms["mask"] = self.o.mask * (cost * there).mean()
        if heat is not None and self.keypoints is not None:
            label, there = both_labels(coarse, labelled, "keypoints")
            mean = heat if self.keypoints.distance == "location" else heat.sigmoid()
            terms["keypoints"] = self.o.keypoints * (self.keypoints.loss(label, mean) * there).mean()
        return terms

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Part logits, keypoint maps and the mask's logit from one pass through the encoder."""
        network = self.part_model
        assert isinstance(network, PartModel)
        with computing_in(network.precision, x.device):
            features = network.encoder(x)
            logits = network.decoder(features)
            others = [None if d is None else d(features).float() for d in (self.decoder, self.mask_decoder)]
        return logits.float(), others[0], others[1]
