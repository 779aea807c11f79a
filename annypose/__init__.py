"""The embedded data set: rendered people with exact joints in 2D and 3D."""

from .clip import ClipFiles, ClipParameters, render_clip
from .dataset import SPLITS, RenderParameters, render_dataset
from .errors import MissingAnnyError, RenderError
from .poses import DEFAULT_CLASS_SHARES

__all__ = [
    'DEFAULT_CLASS_SHARES', 'SPLITS', 'ClipFiles', 'ClipParameters',
    'MissingAnnyError', 'RenderError', 'RenderParameters', 'render_clip',
    'render_dataset'
]
