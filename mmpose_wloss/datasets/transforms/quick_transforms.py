"""Stock transforms without what costs most of their time, equal in all they give."""

import copy
from functools import partial

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.dataset import BaseDataset
from mmpose.datasets.transforms import PackPoseInputs, RandomBBoxTransform, RandomFlip
from mmpose.registry import TRANSFORMS
from scipy.special import ndtr, ndtri

NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@TRANSFORMS.register_module()
class QuickRandomBBoxTransform(RandomBBoxTransform):
    r"""``RandomBBoxTransform``, with the same random numbers drawn at once.

    SciPy's ``truncnorm`` takes :math:`\Phi^{-1}` of uniform numbers between
    :math:`\Phi(a)` and :math:`\Phi(b)`, by way of logarithms that hold far out in
    the tails. Between -1 and 1 they are not needed.

    Args:
        **kwargs: As of ``RandomBBoxTransform``.
    """

    @staticmethod
    def _truncnorm(low: float = -1., high: float = 1.,
                   size: tuple = ()) -> np.ndarray:
        low, high = ndtr(low), ndtr(high)
        shares = np.random.uniform(size=size)
        return ndtri(low + shares * (high - low)).astype(np.float32)


@TRANSFORMS.register_module()
class QuickRandomFlip(RandomFlip):
    """``RandomFlip``, which chooses by the same random numbers.

    Args:
        **kwargs: As of ``RandomFlip``.
    """

    @cache_randomness
    def _choose_direction(self) -> str | None:
        one = not isinstance(self.direction, list)
        directions = [self.direction] if one else self.direction
        shares = self.prob if isinstance(self.prob, list) else [
            self.prob / len(directions)] * len(directions)
        # as NumPy's choice: where a uniform number falls in the summed shares
        number, reached = np.random.random_sample(), 0.
        for direction, share in zip(directions, shares, strict=True):
            reached += share
            if number < reached:
                return direction
        return None


@TRANSFORMS.register_module()
class QuickPackPoseInputs(PackPoseInputs):
    """``PackPoseInputs``, without a deep copy of the metainfo.

    A sample's metainfo is its own: a data set makes it anew, whenever the sample
    is loaded.

    Args:
        **kwargs: As of ``PackPoseInputs``.
    """

    def transform(self, results: dict) -> dict:
        """Pack a sample, as ``PackPoseInputs`` does."""
        image = results.get('img')
        without_meta = copy.copy(self)
        without_meta.meta_keys = ()
        pack = partial(PackPoseInputs.transform, without_meta)
        if is_color(image):
            packed = pack(dict(results, img=NO_IMAGE))
            # four times as fast as to permute a tensor
            packed['inputs'] = torch.from_numpy(np.stack(cv2.split(image)))
        else:
            packed = pack(results)
        for key in self.meta_keys:
            if key in results:
                packed['data_samples'].set_field(
                    results[key], key, field_type='metainfo')
        return packed


def is_color(image: object) -> bool:
    """Whether an image has three channels of 8 bits."""
    return (isinstance(image, np.ndarray) and image.ndim == 3 and
            image.shape[2] == 3 and image.dtype == np.uint8)


QUICK = {RandomBBoxTransform: QuickRandomBBoxTransform,
         RandomFlip: QuickRandomFlip, PackPoseInputs: QuickPackPoseInputs}


class Shared(list):
    """A list that is read only, so that nobody needs a deep copy of it."""

    def __deepcopy__(self, memo: dict) -> 'Shared':
        return self

    def __reduce__(self) -> tuple:
        # to another process it comes as any list
        return list, (list(self), )


class SharedMetainfo(dict):
    """A metainfo of shared lists; a copy of the whole, for checkpoints, has plain ones.

    Checkpoints are loaded without pickled classes.
    """

    def __deepcopy__(self, memo: dict) -> dict:
        return copy.deepcopy({key: list(value) if isinstance(value, Shared) else value
                              for key, value in self.items()}, memo)


def share_metainfo(dataset: BaseDataset) -> None:
    """Do not copy a data set's metainfo for every sample; it is only read.

    Args:
        dataset (BaseDataset): The data set, changed in place.
    """
    dataset._metainfo = SharedMetainfo(
        (key, Shared(value) if isinstance(value, list) else value)
        for key, value in dataset._metainfo.items())


def quicken(dataset: BaseDataset) -> None:
    """Take out of a data set what costs time and changes nothing.

    Its metainfo is not copied for every sample, and stock transforms are replaced by
    their quick equals.

    Args:
        dataset (BaseDataset): The data set, changed in place.
    """
    share_metainfo(dataset)
    dataset.pipeline.transforms = [
        quickened(transform) for transform in dataset.pipeline.transforms]


def quickened(transform: BaseTransform) -> BaseTransform:
    """A transform's quick equal, where it is a stock one that has such."""
    quick = QUICK.get(type(transform))
    if quick is not None:
        transform = copy.copy(transform)
        transform.__class__ = quick
    return transform
