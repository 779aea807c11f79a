from .formatting import PackSemiSupervisedPoseInputs
from .pose3d_formatting import PackPose3DInputs
from .pose_density_weights import PoseDensityWeights
from .random_channel_gain import RandomChannelGain
from .random_hsv import RandomHSV
from .topdown_resize import TopdownResize
from .whole_image_box import WholeImageBox

__all__ = [
    'PackPose3DInputs', 'PackSemiSupervisedPoseInputs',
    'PoseDensityWeights', 'RandomChannelGain', 'RandomHSV', 'TopdownResize',
    'WholeImageBox'
]
