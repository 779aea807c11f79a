from typing import Any

from ...common.errors import UserError
from ..crop_cache import cache_crops
from ..transforms.quick_transforms import quicken


class CropCaching:
    """What the data sets of this package share: they are quick, and can cache crops.

    It stands before a stock data set among the bases of a class.

    Args:
        *args: As of the stock data set.
        cache (str or dict, optional): ``'disk'`` or ``'ram'``: people's crops are made
            once and read instead of whole images, see :func:`cache_crops`, whose
            arguments a dict gives, as in ``dict(cache='disk', budget=20)``. ``None``:
            images are read.
        **kwargs: As of the stock data set.
    """

    def __init__(self, *args: Any, cache: str | dict | None = None,
                 **kwargs: Any) -> None:
        if not isinstance(cache, (str, dict, type(None))):
            raise UserError("cache must be 'disk', 'ram', or a dict of the arguments "
                            f'of cache_crops, but it is {cache!r}')
        self.cache = dict(cache=cache) if isinstance(cache, str) else cache
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        """Load the annotations, and make the crops."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.cache is not None:
            cache_crops(self, **self.cache)
        quicken(self)
