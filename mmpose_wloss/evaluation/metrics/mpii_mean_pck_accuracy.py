import numpy as np
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.evaluation.metrics import MpiiPCKAccuracy
from mmpose.registry import METRICS

# pelvis and thorax, which no figure of MPII counts
NOT_COUNTED = (6, 7)


@METRICS.register_module()
class MpiiMeanPCKAccuracy(MpiiPCKAccuracy):
    """``MpiiPCKAccuracy`` with the mean of its joints.

    The stock ``PCK`` counts each labeled joint, so that ankles and wrists, hard to find
    and often cut off, weigh less. ``Mean PCK`` is the mean of 14 joints that weigh the
    same, as in the code of fast pose distillation and its published tables.

    Args:
        **kwargs: As of ``MpiiPCKAccuracy``.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the stock figures and ``Mean PCK``, from 0 to 100."""
        metrics = super().compute_metrics(results)
        if metrics:  # not if it is normalized by something else than the head
            predicted, true, mask, head = (
                np.concatenate([result[key] for result in results])
                for key in ('pred_coords', 'gt_coords', 'mask', 'head_size'))
            # annotations count from 1
            joints = np.delete(keypoint_pck_accuracy(
                predicted + 1, true, mask, self.thr, head)[0], NOT_COUNTED)
            # -1 stands for a joint that nobody has
            metrics['Mean PCK'] = 100. * joints[joints >= 0].mean()
        return metrics
