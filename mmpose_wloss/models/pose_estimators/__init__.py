from .easy_hard_consistency import EasyHardConsistency, PoseCons, PoseDual
from .topdown_pose3d import TopdownPose3DEstimator

__all__ = [
    'EasyHardConsistency', 'PoseCons', 'PoseDual', 'TopdownPose3DEstimator'
]
