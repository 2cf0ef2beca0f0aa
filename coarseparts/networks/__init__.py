"""Networks of Appendix B (Fig. 5 and 6) and the finer decoder of the default preset."""

from coarseparts.networks.backbone import Backbone, build_encoder, rate_factors
from coarseparts.networks.encoder import Encoder, load_trunk
from coarseparts.networks.keypoint_detector import KeypointDetector
from coarseparts.networks.label_model import LabelModel
from coarseparts.networks.part_model import PartModel
from coarseparts.networks.posterior import Posterior, SeparatePosteriors, members
from coarseparts.networks.precision import computing_in, fastest

__all__ = [
    "Backbone",
    "Encoder",
    "KeypointDetector",
    "LabelModel",
    "PartModel",
    "Posterior",
    "SeparatePosteriors",
    "build_encoder",
    "computing_in",
    "fastest",
    "load_trunk",
    "members",
    "rate_factors",
]
