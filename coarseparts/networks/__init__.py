"""Networks of Appendix B (Fig. 5 and 6) and the finer decoder of the default preset."""

from coarseparts.networks.encoder import Encoder, load_trunk
from coarseparts.networks.label_model import LabelModel
from coarseparts.networks.part_model import PartModel
from coarseparts.networks.posterior import Posterior
from coarseparts.networks.precision import computing_in, fastest

__all__ = ["Encoder", "LabelModel", "PartModel", "Posterior", "computing_in", "fastest", "load_trunk"]
