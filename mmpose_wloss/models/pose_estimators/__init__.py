from .easy_hard_consistency import EasyHardConsistency, PoseCons, PoseDual
from .pose_triple import PoseTriple
from .topdown_pose3d import TopdownPose3DEstimator

__all__ = [
    'EasyHardConsistency', 'PoseCons', 'PoseDual', 'PoseTriple',
    'TopdownPose3DEstimator'
]
