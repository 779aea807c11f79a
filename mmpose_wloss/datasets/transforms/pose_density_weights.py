import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from ...pose_density import PoseDensityArtefact

MISSING = ('error', 'one')
# under which a sample's annotation says what it was weighted with
WEIGHT_KEY = 'pose_weight'


@TRANSFORMS.register_module()
class PoseDensityWeights(BaseTransform):
    """Weights a training sample by how rare its pose is.

    It multiplies ``keypoint_weights``, which every head hands to its loss, by
    the weight that the annotation has in a file of ``tools/pose_density.py``.
    :class:`PoseDensityHook` checks that file and loss suit, lets the weights
    set in later, and logs what they do.

    Required Keys:

    - id
    - keypoint_weights

    Modified Keys:

    - keypoint_weights

    Added Keys:

    - raw_ann_info['pose_weight']

    Args:
        file (str): The pose density, ``.npz``.
        missing (str): What becomes of a sample that the file lacks:
            ``'error'``, or ``'one'``: it keeps its weight. Defaults to
            ``'error'``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """

    def __init__(self, file: str, missing: str = 'error'):
        if missing not in MISSING:
            raise ValueError(f'missing must be one of {MISSING}, but it is '
                             f'{missing!r}')
        self.file = file
        self.missing = missing
        artefact = PoseDensityArtefact.load(file)
        self.dataset_name = artefact.dataset_name
        self.weights = artefact.by_id()

    def transform(self, results: dict) -> dict:
        """Weight a sample.

        Args:
            results (dict): The sample, after ``GenerateTarget``.

        Returns:
            dict: The sample; an unlabelled one as it was.

        Raises:
            KeyError: If targets were not generated, or the file lacks the
                sample.
            ValueError: If the sample holds several people, is of another
                data set, or is weighted already.
        """
        if results.get('labeled') is False:
            return results
        if 'keypoint_weights' not in results:
            raise KeyError('PoseDensityWeights finds no keypoint_weights to '
                           'multiply: put it right after GenerateTarget')
        annotation = results.get('raw_ann_info') or {}
        if WEIGHT_KEY in annotation:
            raise ValueError('a sample is weighted by PoseDensityWeights '
                             'twice: keep one of them in the pipeline')
        weight = self.weight_of(results)
        weights = results['keypoint_weights']
        # several codecs make a list
        if isinstance(weights, list):
            results['keypoint_weights'] = [self._multiply(each, weight)
                                           for each in weights]
        else:
            results['keypoint_weights'] = self._multiply(weights, weight)
        results['raw_ann_info'] = {**annotation, WEIGHT_KEY: weight}
        return results

    @staticmethod
    def _multiply(keypoint_weights: np.ndarray, weight: float) -> np.ndarray:
        keypoint_weights = np.asarray(keypoint_weights)
        if not np.issubdtype(keypoint_weights.dtype, np.floating):
            # some data sets of MMPose have integers, and their codecs too
            keypoint_weights = keypoint_weights.astype(np.float32)
        return keypoint_weights * keypoint_weights.dtype.type(weight)

    def weight_of(self, results: dict) -> float:
        """The weight of a sample.

        Args:
            results (dict): The sample.

        Returns:
            float: Its weight, above 0.
        """
        identity = results['id']
        if np.ndim(identity) or len(results['keypoints']) != 1:
            raise ValueError(
                f'PoseDensityWeights weights single poses, but a sample of '
                f'{results.get("img_path")} holds '
                f'{len(results["keypoints"])} people on one heatmap: it is for '
                'top-down training')
        name = results.get('dataset_name', self.dataset_name)
        if name != self.dataset_name:
            raise ValueError(f'{self.file} is of the data set '
                             f'{self.dataset_name}, but a sample is of {name}')
        weight = self.weights.get(int(identity))
        if weight is None:
            if self.missing == 'error':
                raise KeyError(
                    f'{self.file} has no weight for annotation {identity}: '
                    'compute it from the annotations that are trained on '
                    "(tools/pose_density.py fit), or set missing='one'")
            return 1.
        return weight

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(file={self.file!r}, '
                f'missing={self.missing!r})')
