from .coco_style_3d import CocoStyle3DDataset
from .lsp import LSPDataset
from .unlabeled import UnlabeledPoseDataset

__all__ = ['CocoStyle3DDataset', 'LSPDataset', 'UnlabeledPoseDataset']
