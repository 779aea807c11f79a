from .dual_network_hook import DualNetworkHook
from .pose_density_hook import PoseDensityHook
from .resumable_randomness_hook import ResumableRandomnessHook

__all__ = ['DualNetworkHook', 'PoseDensityHook', 'ResumableRandomnessHook']
