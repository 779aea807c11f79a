"""The embedded data set: rendered people with exact joints in 2D and 3D."""

from .body import MissingAnnyError
from .clip import ClipFiles, ClipParameters, render_clip
from .dataset import SPLITS, RenderInterrupted, RenderParameters, render_dataset
from .poses import DEFAULT_CLASS_SHARES

__all__ = [
    'DEFAULT_CLASS_SHARES', 'SPLITS', 'ClipFiles', 'ClipParameters',
    'MissingAnnyError', 'RenderInterrupted', 'RenderParameters', 'render_clip',
    'render_dataset'
]
