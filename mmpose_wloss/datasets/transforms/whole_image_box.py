import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class WholeImageBox(BaseTransform):
    """Take the whole image for the person's box.

    It stands where ``GetBBoxCenterScale`` stands. Before ``TopdownResize``,
    the image is squeezed to the model's input, whatever its aspect ratio;
    before ``TopdownAffine``, it is padded. Either way the network has to find
    the person, which it can where there is only one.

    .. code-block:: python

        dict(type='WholeImageBox'),
        dict(type='TopdownResize', input_size=(256, 256)),

    Required Keys:

        - img

    Added Keys:

        - bbox_center
        - bbox_scale
    """

    def transform(self, results: dict) -> dict:
        """Put the box around the image; ``bbox`` stays the person's.

        Args:
            results (dict): The sample, from the pipeline.

        Returns:
            dict: The sample.
        """
        height, width = results['img'].shape[:2]
        size = np.array([[width, height]], np.float32)
        results['bbox_center'] = size / 2
        results['bbox_scale'] = size
        return results

    def __repr__(self) -> str:
        """The transform."""
        return f'{type(self).__name__}()'
