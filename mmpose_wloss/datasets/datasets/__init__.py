from .unlabeled import UnlabeledPoseDataset

__all__ = ['UnlabeledPoseDataset']
