from .resumable_randomness_hook import ResumableRandomnessHook

__all__ = ['ResumableRandomnessHook']
