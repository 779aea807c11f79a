from .cache import CropCache, cache_crops
from .reach import Reach, reach_of
from .store import CropStore

__all__ = ['CropCache', 'CropStore', 'Reach', 'cache_crops', 'reach_of']
