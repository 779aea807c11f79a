import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS

from ...structures.teacher_cache import TeacherCache, TeacherCacheError

KEY = 'teacher_targets'


@TRANSFORMS.register_module()
class LoadTeacherTargets(BaseTransform):
    """Load what a teacher predicts of the image, computed beforehand.

    ``tools/cache_teacher.py`` writes the cache. It stands before the packer,
    after all that changes the image; the packer is
    ``PackPoseInputs`` or ``PackSemiSupervisedPoseInputs``.

    Targets are found by the pixels of the crop, so only for an augmentation
    that is fixed, and never those of another image.

    Required Keys:

        - img

    Modified Keys:

        - label_mapping_table (optional)

    Added Keys:

        - teacher_targets

    Args:
        cache (str): The cache's folder.

    Raises:
        TeacherCacheError: If it is none; when a sample is loaded, if the
            cache lacks its image.
    """

    def __init__(self, cache: str):
        self.cache = TeacherCache(cache)

    def transform(self, results: dict) -> dict:
        """Load the targets of one sample.

        Args:
            results (dict): The sample.

        Returns:
            dict: It with ``teacher_targets`` in shape [1, K, N]: of each
            joint its heatmap row by row, or with SimCC the bins of x and then
            of y.

        Raises:
            TeacherCacheError: If the cache lacks the image.
        """
        targets = self.cache.find(results['img'])
        if targets is None:
            raise TeacherCacheError(self._missing(results))
        results[KEY] = targets[None]
        # PackPoseInputs reads here which labels it packs
        results['label_mapping_table'] = {
            **results.get('label_mapping_table',
                          PackPoseInputs.label_mapping_table), KEY: KEY}
        return results

    def _missing(self, results: dict) -> str:
        sample = f'sample {results.get("id")} of {results.get("img_path")}'
        index = self.cache.index
        if not index['complete']:
            return (f'{self.cache.folder} has no targets of {sample}: the '
                    f'cache is not complete, with {sum(index["shards"])} of '
                    f'{index["samples"]} samples. Call tools/cache_teacher.py '
                    'again, it goes on where it was interrupted')
        img = np.shape(results['img'])
        return (f'{self.cache.folder} has no targets of {sample}, a crop of '
                f'{img[1]} × {img[0]}: the pipeline makes another crop of it '
                'than when the cache was written, at random or by another '
                'transform, or the sample is of other annotations. Remove '
                'random transforms, or write the cache again')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(cache={self.cache.folder!r})'
