import numpy as np
from mmpose.registry import TRANSFORMS

from ...common.errors import UserError
from .quick_transforms import QuickPackPoseInputs


@TRANSFORMS.register_module()
class PackSemiSupervisedPoseInputs(QuickPackPoseInputs):
    """Pack labeled and unlabeled samples, and say which is which.

    It stands at the end of the pipeline of a ``CombinedDataset``, in place of
    ``PackPoseInputs``; the pipelines of the data sets in it end before.

    A labeled sample is packed as ``PackPoseInputs`` does it. Of an unlabeled one,
    which has ``labeled=False``, the image is packed, the metainfo without
    ``raw_ann_info``, the box, and as only label
    ``gt_instance_labels.keypoint_weights``: 1 for a joint that the sample's data set
    defines (``keypoints_visible``), 0 for one that it lacks.

    The metainfo of both says ``labeled``, of a video's frame ``clip``, and where images
    could not be loaded and this sample came in their place, ``unreadable_images``:
    their files.

    Args:
        meta_keys (Sequence[str]): As in ``PackPoseInputs``.
        pack_transformed (bool): As in ``PackPoseInputs``, for labeled samples.
    """

    BOX_KEYS = ('bbox', 'bbox_center', 'bbox_scale', 'bbox_score')

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Args:
            results (dict): The sample, from the pipeline.

        Returns:
            dict: ``inputs``, the image as a tensor in shape [3, H, W], and
            ``data_samples``, a ``PoseDataSample``.

        Raises:
            UserError: If an unlabeled sample has not the joints that the
                ``CombinedDataset`` defines.
        """
        meta = dict(labeled=bool(results.get('labeled', True)))
        if results.get('unreadable_images'):
            meta['unreadable_images'] = results['unreadable_images']
        if 'clip' in results:
            meta['clip'] = results['clip']
        packed = super().transform(
            results if meta['labeled'] else self._without_labels(results))
        packed['data_samples'].set_metainfo(meta)
        return packed

    def _without_labels(self, results: dict) -> dict:
        # named one by one, so that no label passes that a transform adds
        kept = {'img', *self.BOX_KEYS, *self.meta_keys} - {'raw_ann_info'}
        exists = results['keypoints_visible']
        if exists.ndim == 3:
            exists = exists[..., 0]
        defined = results.get('flip_indices')
        if defined is not None and len(defined) != exists.shape[1]:
            raise UserError(
                f'an unlabeled sample has {exists.shape[1]} joints, but the metainfo '
                f'of the CombinedDataset defines {len(defined)}. Put a '
                "KeypointConverter into the pipeline of the sample's own data set, "
                'and a flip before it or into the pipeline of the CombinedDataset')
        return dict({key: results[key] for key in kept if key in results},
                    keypoint_weights=np.array(exists, dtype=np.float32))
