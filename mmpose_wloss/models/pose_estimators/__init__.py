from .easy_hard_consistency import EasyHardConsistency
from .pose_cons import PoseCons
from .pose_dual import PoseDual
from .topdown_pose3d import TopdownPose3DEstimator

__all__ = [
    'EasyHardConsistency', 'PoseCons', 'PoseDual', 'TopdownPose3DEstimator'
]
