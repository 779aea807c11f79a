from .datasets import *  # noqa: F401, F403
from .samplers import EpochMultiSourceSampler  # noqa: F401
from .subsets import make_subset  # noqa: F401
from .transforms import *  # noqa: F401, F403
