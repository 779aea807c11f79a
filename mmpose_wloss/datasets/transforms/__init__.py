from .formatting import PackSemiSupervisedPoseInputs

__all__ = ['PackSemiSupervisedPoseInputs']
