from .collate import quick_collate  # noqa: F401
from .crop_cache import CropCache, CropStore, cache_crops, reach_of  # noqa: F401
from .datasets import *  # noqa: F401, F403
from .poses import Poses, collect_poses, fit_pose_density  # noqa: F401
from .samplers import (  # noqa: F401
    DrawSampler,
    EpochMultiSourceSampler,
    PoseDensitySampler,
)
from .subsets import make_subset  # noqa: F401
from .transforms import *  # noqa: F401, F403
