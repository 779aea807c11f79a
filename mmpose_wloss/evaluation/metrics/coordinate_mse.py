import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpose.registry import METRICS

from ...common.errors import UserError
from ...common.files import replaced_whole


@METRICS.register_module()
class CoordinateMSE(BaseMetric):
    r"""Mean squared error of coordinates that run from -1 to 1 over the box.

    .. math::
        \frac{\sum_i m_i (p_i - y_i)^2}{\sum_i m_i}, \qquad
        y = \frac{x - c}{s / 2}

    over all coordinates of the data set, for a box with center c and side s along
    the coordinate's axis. :math:`m_i` is 1 where a joint is visible and within the
    box, else 0, whatever the pose's weight. With the whole image for a box, as in
    ``deeppose_vgg16_wloss_lsp``, it is the test loss of `weighted DeepPose
    <https://github.com/JindongJiang/WeightedLoss_DeepPose_PyTorch>`_. The result is
    ``'MSE'``; less is better: ``save_best='MSE', rule='less'``.

    Args:
        predictions_file (str, optional): A CSV file to write with each evaluation. A
            row is an image's path, then its predicted coordinates, the true ones and
            their :math:`m_i`; each is first x of all joints, then y, from -1 to 1.
        **kwargs: ``collect_device``, ``prefix`` and ``collect_dir``, as in
            ``BaseMetric``.

    Raises:
        UserError: If no joint is visible.
    """

    # BaseMetric would warn of none
    default_prefix = ''

    def __init__(self, predictions_file: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if predictions_file is not None:
            path = Path(str(predictions_file))
            # a test that cannot write its figures ends before it begins
            if path.suffix != '.csv' or path.is_dir() or any(
                    parent.exists() and not parent.is_dir() for parent in path.parents):
                raise UserError('predictions_file must be a .csv file in a folder, but '
                                f'it is {predictions_file!r}')
        self.predictions_file = predictions_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take the samples of a batch."""
        for sample in data_samples:
            center, side = (np.asarray(sample[key], np.float64)
                            for key in ('input_center', 'input_scale'))
            predicted, true = (
                (np.asarray(sample[key]['keypoints'][0, :, :2], np.float64) - center)
                / (side / 2) for key in ('pred_instances', 'gt_instances'))
            visible = np.asarray(sample['gt_instances']['keypoints_visible'][0])
            visible = visible.reshape(len(true), -1)[:, 0] > 0
            counts = visible & (np.abs(true) < 1).all(1)
            self.results.append(dict(
                path=sample.get('img_path', ''), predicted=predicted, true=true,
                counts=np.repeat(counts[:, None], 2, 1)))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the figure, and write the file."""
        predicted, true, counts = (
            np.stack([each[key] for each in results])
            for key in ('predicted', 'true', 'counts'))
        if not counts.any():
            raise UserError(f'CoordinateMSE: no joint of {len(results)} samples is '
                            'visible. Check keypoints_visible of the test data')
        if self.predictions_file:
            self._write([each['path'] for each in results], predicted, true, counts)
        return dict(MSE=float(np.square(predicted - true)[counts].mean()))

    def _write(self, paths: list[str], *values: np.ndarray) -> None:
        names = [f'{kind}_{axis}_{name}' for kind in ('predicted', 'true', 'weight')
                 for axis in 'xy' for name in self.dataset_meta['keypoint_name2id']]
        # as the original code flattens [2, K]
        numbers = np.concatenate([
            each.swapaxes(1, 2).reshape(len(each), -1).astype(float)
            for each in values], 1)
        with replaced_whole(Path(self.predictions_file)) as partial, open(
                partial, 'w', newline='') as stream:
            writer = csv.writer(stream)
            writer.writerow(['image', *names])
            writer.writerows([path, *row] for path, row in zip(
                paths, numbers.tolist(), strict=True))
