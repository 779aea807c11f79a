import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmpose.apis import Pose2DInferencer
from mmpose.registry import INFERENCERS
from mmpose.structures import PoseDataSample
from torch import nn

from ..common.boxes import check_boxes
from ..common.camera import camera_parameters
from ..common.errors import UserError
from ..common.files import (
    check_written_once,
    existing_file,
    list_images,
    read_json,
    write_whole,
)
from ..common.state_dicts import check_fits
from ..models.pose_estimators import TopdownPose3DEstimator

# what a person has in the results, by its name in ``pred_instances``
FIELDS = dict(
    keypoints='keypoints', keypoint_scores='keypoint_scores', bboxes='bbox',
    bbox_scores='bbox_score', transformed_keypoints='transformed_keypoints',
    keypoints_cam='keypoints_cam')
# nearer than 10 cm is no person, but a depth in meters
LEAST_ROOT_DEPTH = 100


@INFERENCERS.register_module()
class Pose3DImageInferencer(Pose2DInferencer):
    """Predicts 3D poses of people in images.

    It takes what MMPose's inferencers take, an image, an array, a folder, a
    list of them, a video or ``webcam:0``, and yields and writes what they do.
    Images in the folders of a folder count, too.
    Each person has ``keypoints``, ``transformed_keypoints``, ``keypoints_cam``
    and ``keypoint_scores`` of a :class:`TopdownPose3DEstimator`, ``bbox`` and
    ``bbox_score``. Without camera and root depth the size of a person is a
    guess from that of its box, and the log says so once.

    A call takes these beside the arguments of MMPose's inferencers:

    - ``bboxes``: for each image a list of its people's boxes, left, top,
      right, bottom in pixels, and perhaps a score. Without them, or where an
      image has ``None``, a detector finds people, if there is one; else the
      whole image is one person's box.
    - ``camera``: as :func:`camera_parameters` takes it; a dict or a JSON file
      of one, or a list with one for each image
    - ``root_depth``: the distance of the root along the optical axis in mm; a
      number, or a list with a number, or one for each box, for each image

    Args:
        model (str | Config): Config of a :class:`TopdownPose3DEstimator`.
        weights (str, optional): Checkpoint, without which weights are random.
        args, kwargs: As for ``Pose2DInferencer``: a device and a detector.

    Raises:
        UserError: If the model has no 3D head, the checkpoint is not one of
            this model, or in a call an image or another argument does not fit, or
            if two images would be written by one name.
        MissingFile: If a file is not there.
    """

    preprocess_kwargs = {
        'bbox_thr', 'nms_thr', 'bboxes', 'camera', 'root_depth'}
    forward_kwargs: set = set()
    visualize_kwargs = {
        'return_vis', 'show', 'wait_time', 'draw_bbox', 'radius', 'thickness',
        'kpt_thr', 'vis_out_dir'}
    postprocess_kwargs = {'pred_out_dir'}

    def __init__(self, model: str | Config, weights: str | None = None,
                 *args, **kwargs) -> None:
        if not isinstance(model, Config):
            model = Config.fromfile(existing_file(model, 'config'))
        if weights is not None and '://' not in str(weights):
            weights = str(existing_file(weights, 'checkpoint'))
        model = model.copy()
        # MMPose asks for them at the config's top
        model.setdefault('data_mode', 'topdown')
        model.setdefault('dataset_type', model.test_dataloader.dataset.type)
        model.visualizer = dict(type='Pose3DImageVisualizer')
        self._guessed = False
        super().__init__(model, weights, *args, **kwargs)

    def __call__(self, inputs, *args, **kwargs) -> Iterator[dict]:
        """Predict the people of each image, with arguments as the class says."""
        if isinstance(inputs, (str, Path)) and Path(inputs).is_dir():
            inputs = list_images(inputs)
        if isinstance(inputs, (list, tuple)):
            inputs = [str(one) if isinstance(one, Path) else one for one in inputs]
            if any(map(kwargs.get, ('out_dir', 'vis_out_dir', 'pred_out_dir'))):
                files = [one for one in inputs if isinstance(one, str)]
                check_written_once(files, [Path(file).stem for file in files])
        return super().__call__(inputs, *args, **kwargs)

    def _init_model(self, *args, **kwargs) -> nn.Module:
        model = super()._init_model(*args, **kwargs)
        if not isinstance(model, TopdownPose3DEstimator):
            raise UserError(
                f'the model {type(model).__name__} predicts no depth: take the '
                'config of a TopdownPose3DEstimator')
        return model

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None,
                               cfg: Config) -> None:
        if checkpoint is not None:
            # MMEngine loads what fits and warns of the rest
            needed = model.state_dict()
            state = checkpoint.get('state_dict', checkpoint)
            check_fits({key: state[key] for key in needed if key in state},
                       needed, 'the checkpoint',
                       'Take the config that it was trained with')
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _inputs_to_list(self, inputs) -> Iterable:
        if isinstance(inputs, (str, Path)) and '://' not in str(inputs):
            inputs = str(existing_file(inputs))
        return super()._inputs_to_list(inputs)

    def preprocess(self, inputs: Iterable, batch_size: int = 1,
                   bboxes: Sequence | None = None, camera=None,
                   root_depth=None, **kwargs) -> Iterator:
        """Make the model's inputs, with arguments as the class says.

        Yields:
            tuple: The collated samples of an image, and a list of the image.
        """
        if (camera is None) != (root_depth is None):
            raise UserError('camera and root_depth go together: give both or '
                            'neither')
        camera = ([_read_camera(one) for one in camera]
                  if isinstance(camera, (list, tuple)) else
                  _read_camera(camera))
        given = dict(bboxes=bboxes, camera=camera, root_depth=root_depth)
        lists = {
            name: values for name, values in given.items()
            if isinstance(values, (list, tuple)) or getattr(values, 'ndim', 0)}
        counts = ', '.join(f'{name} has {len(values)}'
                           for name, values in lists.items())
        error = UserError(
            f'there must be an entry for each image, but {counts}. What is of '
            'several people in one image goes into a list of its own, such as '
            'bboxes=[[box, box]]')
        # before the first ones are written; frames of videos are counted
        if isinstance(inputs, Sequence) and any(
                len(values) != len(inputs) for values in lists.values()):
            raise error
        missing = object()
        for index, (one, *values) in enumerate(zip_longest(
                inputs, *lists.values(), fillvalue=missing)):
            if one is missing or any(value is missing for value in values):
                raise error
            given.update(zip(lists, values, strict=True))
            yield self.collate_fn(self.preprocess_single(
                one, index, **given, **kwargs)), [one]

    def preprocess_single(self, input: str | np.ndarray, index: int,
                          bboxes: Sequence | None = None,
                          camera: dict | None = None,
                          root_depth: float | Sequence | None = None,
                          **kwargs) -> list[dict]:
        """Pack a sample for each person of an image.

        Without people, one of the whole image, whose metainfo ``people`` is 0.
        """
        name = (f'{index:06d}.jpg' if isinstance(input, np.ndarray)
                else str(input))
        try:
            image = mmcv.imread(input)
        except cv2.error:  # of an empty file
            image = None
        if image is None:
            raise UserError(f'{name} is broken, or no image')
        boxes = None if bboxes is None else check_boxes(bboxes, name)
        if boxes is None:
            samples = super().preprocess_single(image, index, **kwargs)
        else:
            height, width = image.shape[:2]
            whole = np.array([[0, 0, width, height, 1]], np.float32)
            samples = [self.pipeline(dict(
                self.model.dataset_meta, img=image, img_path=name,
                bbox=box[None, :4], bbox_score=box[4:]))
                for box in (boxes if len(boxes) else whole)]
        people = len(samples if boxes is None else boxes)
        for sample in samples:
            sample['data_samples'].set_metainfo(
                dict(img_path=name, people=people))
        if camera is None:
            if not self._guessed:
                print_log(
                    'Without camera and root_depth sizes are a guess: a crop '
                    f'is taken to show {self.model.crop_extent:g} mm. '
                    'Directions and proportions are right', 'current')
            self._guessed = True
            return samples
        depths = _root_depths(root_depth, people, name)
        for sample, depth in zip(samples[:people], depths, strict=True):
            sample['data_samples'].set_metainfo(
                dict(camera_param=camera, root_depth=depth))
        return samples

    def forward(self, inputs: dict, **kwargs) -> list[PoseDataSample]:
        """Predict the people of an image, as one sample."""
        samples = super().forward(inputs, **kwargs)
        for sample in samples:
            sample.pred_instances = sample.pred_instances[
                :sample.metainfo['people']]
        return samples

    def postprocess(self, preds: list[PoseDataSample], visualization: list,
                    return_datasamples: bool = False,
                    pred_out_dir: str = '') -> dict:
        """Convert predictions into lists and numbers, and write them.

        Args:
            preds (list[PoseDataSample]): The people of each image.
            visualization (list): The pictures.
            return_datasamples (bool): Leave samples as they are.
            pred_out_dir (str): Folder of a JSON file for each image or video.

        Returns:
            dict: ``predictions`` and ``visualization``.
        """
        predictions = [[
            {name: np.asarray(instances[field][index]).tolist()
             for field, name in FIELDS.items() if field in instances}
            for index in range(len(instances))]
            for instances in (sample.pred_instances for sample in preds)]
        for people, sample in zip(predictions, preds, strict=True):
            if pred_out_dir and self._video_input:
                self.video_info['predictions'].append(people)
            elif pred_out_dir:
                name = Path(sample.metainfo['img_path']).stem
                write_whole(Path(pred_out_dir, f'{name}.json'),
                            json.dumps(people, indent=2))
        return dict(visualization=visualization,
                    predictions=preds if return_datasamples else predictions)


def _read_camera(camera: Mapping | str | Path | None) -> dict | None:
    if isinstance(camera, (str, Path)):
        return camera_parameters(read_json(camera), str(camera))
    return None if camera is None else camera_parameters(camera)


def _root_depths(root_depth: float | Sequence, people: int,
                 name: str) -> list[float]:
    """The depths of the roots of an image's people, one for all or each."""
    depths = np.ravel(np.asarray(root_depth, np.float64)).tolist()
    if np.ndim(root_depth) == 0:
        depths *= people
    if len(depths) != people:
        raise UserError(f'{name} has {people} people, but root_depth has '
                        f'{len(depths)} depths')
    if not all(LEAST_ROOT_DEPTH <= depth < np.inf for depth in depths):
        raise UserError(
            'root_depth must be the distance of the root joint in millimeters, '
            f'but for {name} it is {root_depth}: is it in meters?')
    return depths
