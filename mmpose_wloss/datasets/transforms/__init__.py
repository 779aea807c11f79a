from .bbox_transforms import ClippedBBoxTransform, UniformBBoxTransform
from .device_targets import DeviceTargets
from .formatting import PackSemiSupervisedPoseInputs
from .pose3d_formatting import PackPose3DInputs
from .pose_density_weights import PoseDensityWeights
from .quick_transforms import (
    QuickPackPoseInputs,
    QuickRandomBBoxTransform,
    QuickRandomFlip,
)
from .random_colors import RandomChannelGain, RandomHSV
from .topdown_resize import TopdownResize, WholeImageBox

__all__ = [
    'ClippedBBoxTransform', 'DeviceTargets', 'PackPose3DInputs',
    'PackSemiSupervisedPoseInputs', 'PoseDensityWeights', 'QuickPackPoseInputs',
    'QuickRandomBBoxTransform', 'QuickRandomFlip', 'RandomChannelGain', 'RandomHSV',
    'TopdownResize', 'UniformBBoxTransform', 'WholeImageBox'
]
