from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import MODELS

from ..common import checks
from ..common.boxes import check_boxes
from ..common.errors import UserError
from ..common.files import existing_file
from ..datasets.poses import joint_names
from ..deploy import with_onnx_file
from ..models.wrapped_networks import load_network


class TopdownPredictor:
    """Predicts 2D keypoints of the people in many images at once.

    It does for several images what ``mmpose.apis.inference_topdown`` does for
    one; batches mix the people of different images.

    .. code-block:: python

        predictor = TopdownPredictor(config, checkpoint)
        for people in predictor.predict(images, boxes):
            print(people.keypoints, people.keypoint_scores)

    Args:
        config (str | Config): Config of a top-down 2D pose estimator, or of a
            training with several networks.
        checkpoint (str, optional): Its checkpoint.
        onnx_file (str, optional): In place of a checkpoint, what
            :func:`export_onnx` wrote; it runs on the CPU.
        device (str, optional): None takes a GPU, if there is one.
        batch_size (int): How many people go through the network at once.
        network (str, optional): Which network of a training checkpoint, as
            for :func:`load_network`.
        flip_test (bool): ``False`` leaves out the flip test, which halves the
            time; ``True`` does as the config says.

    Attributes:
        metainfo (dict): Meta information of the config's test set.
        joints (tuple[str]): Names of the joints.
        weights (Path): The checkpoint or ONNX file.

    Raises:
        MissingFile: If a file is not there.
        UserError: If the model is no top-down 2D pose estimator, or the
            arguments do not fit.
    """

    def __init__(self, config: str | Config, checkpoint: str | None = None, *,
                 onnx_file: str | None = None, device: str | None = None,
                 batch_size: int = 16, network: str | None = None,
                 flip_test: bool = True) -> None:
        if (checkpoint is None) == (onnx_file is None):
            raise UserError('give either a checkpoint or an onnx_file')
        checks.whole(1, batch_size=batch_size)
        self.batch_size = batch_size
        if onnx_file is None:
            self.weights = Path(checkpoint)
            self.model, config = load_network(config, checkpoint, network)
            device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        else:
            if network is not None or device not in (None, 'cpu'):
                raise UserError(f'{onnx_file} holds one network, which runs on '
                                f'the CPU, not {network or device}')
            self.weights = existing_file(onnx_file)
            config = with_onnx_file(
                config if isinstance(config, Config) else Config.fromfile(config),
                onnx_file)
            with DefaultScope.overwrite_default_scope('mmpose'):
                self.model = MODELS.build(config.model)
            device = 'cpu'
        if not isinstance(self.model, TopdownPoseEstimator) or hasattr(
                self.model, 'crop_extent'):
            raise UserError(f'{type(self.model).__name__} predicts no 2D keypoints '
                            'in a box: take the config of a TopdownPoseEstimator')
        self.model.to(device).eval()
        if not flip_test:
            self.model.test_cfg = dict(self.model.test_cfg, flip_test=False)
        with DefaultScope.overwrite_default_scope('mmpose'):
            self._pipeline = Compose(config.test_dataloader.dataset.pipeline)
            self.metainfo = dataset_meta_from_config(config, 'test')
        self.joints = joint_names(self.metainfo)

    @property
    def flip_test(self) -> bool:
        """Whether there is a flip test."""
        return bool(self.model.test_cfg.get('flip_test', False))

    def predict(self, images: Sequence[np.ndarray],
                boxes: Sequence) -> list[InstanceData]:
        """Predict the people of each image.

        Args:
            images (Sequence[np.ndarray]): BGR uint8, each [H, W, 3].
            boxes (Sequence): The people of each image: left, top, right, bottom
                in pixels, and perhaps a score, [N, 4] or [N, 5], or empty.

        Returns:
            list[InstanceData]: The people of each image in the order of its
            boxes, with ``keypoints`` in pixels [N, K, 2], ``keypoint_scores`` [N, K],
            ``bboxes`` [N, 4] and ``bbox_scores`` [N].

        Raises:
            UserError: If numbers of images and boxes differ, or a box is none.
        """
        if len(images) != len(boxes):
            raise UserError(
                f'there are {len(images)} images, but boxes of {len(boxes)}')
        boxes = [check_boxes(given, f'image {index}')
                 for index, given in enumerate(boxes)]
        crops = (self._pipeline(dict(self.metainfo, img=image,
                                     bbox=box[None, :4], bbox_score=box[4:]))
                 for image, given in zip(images, boxes, strict=True)
                 for box in given)
        joints = len(self.joints)
        # also where there is nobody
        keypoints = [np.zeros((0, joints, 2), np.float32)]
        scores = [np.zeros((0, joints), np.float32)]
        while batch := list(islice(crops, self.batch_size)):
            with torch.no_grad(), \
                    DefaultScope.overwrite_default_scope('mmpose'):
                samples = self.model.test_step(pseudo_collate(batch))
            for sample in samples:
                keypoints.append(sample.pred_instances.keypoints)
                scores.append(sample.pred_instances.keypoint_scores)
        ends = np.cumsum([len(given) for given in boxes])[:-1]
        return [InstanceData(keypoints=points, keypoint_scores=of_points,
                             bboxes=given[:, :4], bbox_scores=given[:, 4])
                for points, of_points, given in zip(
                    np.split(np.concatenate(keypoints), ends),
                    np.split(np.concatenate(scores), ends), boxes,
                    strict=False)]
