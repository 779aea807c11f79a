from .easy_hard_consistency import EasyHardConsistency
from .onnx_pose_estimator import OnnxPoseEstimator
from .pose_cons import PoseCons
from .pose_dual import PoseDual
from .topdown_pose3d import TopdownPose3DEstimator

__all__ = [
    'EasyHardConsistency', 'OnnxPoseEstimator', 'PoseCons', 'PoseDual',
    'TopdownPose3DEstimator'
]
