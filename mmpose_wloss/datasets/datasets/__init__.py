from .lsp import LSPDataset
from .unlabeled import UnlabeledPoseDataset

__all__ = ['LSPDataset', 'UnlabeledPoseDataset']
