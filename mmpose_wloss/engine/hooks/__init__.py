from .dual_network_hook import DualNetworkHook
from .resumable_randomness_hook import ResumableRandomnessHook

__all__ = ['DualNetworkHook', 'ResumableRandomnessHook']
