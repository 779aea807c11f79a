from .channels_last_hook import ChannelsLastHook
from .device_targets_hook import DeviceTargetsHook
from .distillation_hook import DistillationHook
from .dual_network_hook import DualNetworkHook
from .pose_density_hook import PoseDensityHook
from .resumable_randomness_hook import ResumableRandomnessHook
from .sigma_decay_hook import SigmaDecayHook
from .unreadable_images_hook import UnreadableImagesHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'ChannelsLastHook', 'DeviceTargetsHook', 'DistillationHook', 'DualNetworkHook',
    'PoseDensityHook', 'ResumableRandomnessHook', 'SigmaDecayHook',
    'UnreadableImagesHook', 'WholeCheckpointHook'
]
