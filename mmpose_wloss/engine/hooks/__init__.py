from .resumable_randomness_hook import ResumableRandomnessHook, SeedSample

__all__ = ['ResumableRandomnessHook', 'SeedSample']
