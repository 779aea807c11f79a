import mmcv
import numpy as np
from mmengine.dist import master_only
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ..common.errors import UserError
from .poses_3d import PoseView, draw_pose_views
from .rare_poses import figure_to_image
from .skeleton import Skeleton


@VISUALIZERS.register_module()
class Pose3DImageVisualizer(PoseLocalVisualizer):
    """Draws 3D poses of images: in the image, and upright in space beside it.

    ``PoseVisualizationHook`` and inferencers call it as a ``PoseLocalVisualizer``, with
    samples of a :class:`TopdownPose3DEstimator`. MMPose's ``Pose3dLocalVisualizer``
    needs a Matplotlib below 3.10 and draws one person. People whose ``keypoints_cam``
    are known stand where they are, others side by side.

    Args:
        name, args, kwargs: As for ``PoseLocalVisualizer``.
        beside_truth (bool): Draw the truth, if there is one, even where the
            caller leaves it out, as ``PoseVisualizationHook`` does.
        dpi (int): Pixels per inch; a panel is 3.6 inches wide.
    """

    def __init__(self, name: str = 'visualizer', *args,
                 beside_truth: bool = True, dpi: int = 100, **kwargs) -> None:
        super().__init__(name, *args, **kwargs)
        self.beside_truth = beside_truth
        self.dpi = dpi

    @master_only
    def add_datasample(self, name: str, image: np.ndarray,
                       data_sample: PoseDataSample, draw_gt: bool = True,
                       draw_bbox: bool = False, show: bool = False,
                       wait_time: float = 0, out_file: str | None = None,
                       kpt_thr: float = 0.3, step: int = 0, **_) -> np.ndarray:
        """Draw a sample, and show it, write it or give it to the backends.

        Args:
            name (str): What the image is called.
            image (np.ndarray): RGB in shape [H, W, 3].
            data_sample (PoseDataSample): With ``pred_instances`` of any number
                of people.
            draw_gt, draw_bbox, show, wait_time, out_file, kpt_thr, step: As
                for ``PoseLocalVisualizer``.

        Returns:
            np.ndarray: The picture as RGB in shape [H, W, 3].

        Raises:
            UserError: If the prediction has no depth.
        """
        joints, columns = np.shape(data_sample.pred_instances.keypoints)[1:]
        if columns != 3:
            raise UserError('Pose3DImageVisualizer draws predictions of a '
                            'TopdownPose3DEstimator; these have no depth')
        view = PoseView.of_sample(
            image, data_sample, kpt_thr,
            truth=draw_gt or self.beside_truth, boxes=draw_bbox)
        skeleton = (Skeleton.of_metainfo(self.dataset_meta)
                    if self.dataset_meta else Skeleton.without_bones(joints))
        drawn = figure_to_image(draw_pose_views(
            [view], skeleton, width=0.5 + self.line_width,
            size=float(self.radius)**2), self.dpi)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)
        return self.get_image()
