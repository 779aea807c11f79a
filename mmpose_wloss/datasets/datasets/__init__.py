from .coco_style_3d import CocoStyle3DDataset
from .h36m_image import Human36mImageDataset
from .lsp import LSPDataset
from .unlabeled import UnlabeledPoseDataset

__all__ = [
    'CocoStyle3DDataset', 'Human36mImageDataset', 'LSPDataset',
    'UnlabeledPoseDataset'
]
