from .formatting import PackSemiSupervisedPoseInputs
from .pose3d_formatting import PackPose3DInputs
from .pose_density_weights import PoseDensityWeights
from .random_colors import RandomChannelGain, RandomHSV
from .topdown_resize import TopdownResize, WholeImageBox

__all__ = [
    'PackPose3DInputs', 'PackSemiSupervisedPoseInputs',
    'PoseDensityWeights', 'RandomChannelGain', 'RandomHSV', 'TopdownResize',
    'WholeImageBox'
]
