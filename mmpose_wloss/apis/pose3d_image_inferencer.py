import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import mmcv
import mmengine
import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from mmpose.apis import Pose2DInferencer
from mmpose.registry import INFERENCERS
from mmpose.structures import PoseDataSample
from torch import nn

from ..common.boxes import check_boxes
from ..common.camera import camera_parameters
from ..visualization.pose3d_image_visualizer import Pose3DImageVisualizer

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
# what an instance has beside what MMPose writes of one
PLACES = ('transformed_keypoints', 'keypoints_cam')


@INFERENCERS.register_module()
class Pose3DImageInferencer(Pose2DInferencer):
    """Predicts 3D poses of people in images.

    It takes what MMPose's inferencers take, an image, an array, a folder, a
    list of them, a video or ``webcam:0``, and yields and writes what they do.
    Of each person it gives

    - ``keypoints``: joints relative to the root in mm (x right, y down, z
      away from the camera)
    - ``transformed_keypoints``: the joints in pixels of the image
    - ``keypoints_cam``: the joints in camera space in mm, where camera and
      root depth are given
    - ``keypoint_scores``, ``bbox``, ``bbox_score``

    Without camera and root depth the size of a person is a guess from that of
    its box, and the log says so once; directions and proportions are right.

    .. code-block:: python

        inferencer = Pose3DImageInferencer(config, checkpoint)
        for result in inferencer('people/', out_dir='predictions'):
            people, = result['predictions']

    When it is called, it takes beside the arguments of MMPose's inferencers:

    - ``bboxes``: left, top, right, bottom in pixels, and perhaps a score, of
      each person, one list for each image; an empty one if nobody is in it.
      Without them, or where an image has ``None``, a detector finds people,
      if there is one; else the whole image is one person's box.
    - ``camera``: ``f`` and ``c``, focal lengths and principal point in
      pixels, and for a lens that distorts ``k``, ``p``, as OpenCV defines
      them; a dict or a JSON file of one, or a list with one for each image
    - ``root_depth``: the distance of the root along the optical axis in mm; a
      number, or a list with one for each image, of which each is a number or
      has one for each box

    Args:
        model (str | Config): Config of a :class:`TopdownPose3DEstimator`.
        weights (str, optional): Checkpoint. Without it the weights are
            random.
        device (str, optional): Defaults to ``None``: a GPU, if there is one.
        scope (str): Defaults to ``'mmpose'``.
        det_model (str, optional): Config or alias of a detector of MMDetection
            that finds people. Defaults to ``None``: none, unless the data set
            of the config is one that MMPose knows a detector for.
        det_weights (str, optional): Its checkpoint.
        det_cat_ids (int | Sequence[int], optional): The category of people in
            it.
        **kwargs: As for ``Pose2DInferencer``.

    Raises:
        ValueError: If the model has no 3D head, if the checkpoint is not one
            of this model, or in a call, if an image cannot be read, or boxes,
            camera or root depth do not fit.
        FileNotFoundError: If a file is not there.
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
        if isinstance(model, (str, Path)):
            _check_file(model)
            model = Config.fromfile(model)
        if weights is not None and '://' not in str(weights):
            _check_file(weights)
            weights = str(weights)
        model = model.copy()
        # MMPose asks for them at the config's top
        model.setdefault('data_mode', 'topdown')
        model.setdefault('dataset_type', model.test_dataloader.dataset.type)
        self._guessed = False
        super().__init__(model, weights, *args, **kwargs)

    def _init_model(self, *args, **kwargs) -> nn.Module:
        model = super()._init_model(*args, **kwargs)
        if not hasattr(model, 'crop_extent'):
            raise ValueError(
                f'the model {type(model).__name__} predicts no depth: take '
                'the config of a TopdownPose3DEstimator, such as those of '
                'configs/integral3d_*.py')
        return model

    def _load_weights_to_model(self, model: nn.Module,
                               checkpoint: dict | None, cfg: Config) -> None:
        if checkpoint is not None:
            check_fits(model, checkpoint)
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _init_visualizer(self, cfg: Config) -> Pose3DImageVisualizer:
        return super()._init_visualizer(
            Config(dict(visualizer=dict(type='Pose3DImageVisualizer'))))

    def _inputs_to_list(self, inputs) -> Iterable:
        if isinstance(inputs, Path):
            inputs = str(inputs)
        if isinstance(inputs, str) and '://' not in inputs:
            if Path(inputs).is_dir():
                self._video_input = False
                return image_files(inputs)
            _check_file(inputs)
        if isinstance(inputs, (list, tuple)):
            inputs = [str(one) if isinstance(one, Path) else one
                      for one in inputs]
        return super()._inputs_to_list(inputs)

    def preprocess(self, inputs: Iterable, batch_size: int = 1,
                   bboxes: Sequence | None = None, camera=None,
                   root_depth=None, **kwargs) -> Iterator:
        """Make the model's inputs of each image.

        Args:
            inputs (Iterable): Paths of images or arrays.
            batch_size (int): Ignored: the people of an image are a batch.
            bboxes (Sequence, optional): Boxes of each image.
            camera (dict | str | Sequence, optional): The camera.
            root_depth (float | Sequence, optional): Depth of the roots in mm.
            **kwargs: ``bbox_thr`` and ``nms_thr`` of a detector.

        Yields:
            tuple: The collated samples, and a list of the image.
        """
        if (camera is None) != (root_depth is None):
            raise ValueError(
                'camera and root_depth go together: without one of them '
                'places in space are unknown. Give both or neither')
        given = dict(bboxes=bboxes, camera=camera, root_depth=root_depth)
        if isinstance(inputs, Sequence):
            # before the first ones are written; of a video frames are counted
            _check_all_used(given, len(inputs))
        images = 0
        for index, one in enumerate(inputs):
            of_image = {name: _of_image(values, index, name)
                        for name, values in given.items()}
            of_image['camera'] = read_camera(of_image['camera'])
            samples = self.preprocess_single(one, index, **of_image, **kwargs)
            images += 1
            yield (self.collate_fn(samples) if samples else
                   self._nobody(_name_of(one, index))), [one]
        _check_all_used(given, images)

    def _nobody(self, name: str) -> PoseDataSample:
        """The prediction for an image without people."""
        joints = self.model.dataset_meta['num_keypoints']
        return PoseDataSample(
            metainfo=dict(img_path=name),
            pred_instances=InstanceData(
                **{key: np.zeros((0, *shape), np.float32) for key, shape in (
                    ('keypoints', (joints, 3)),
                    ('transformed_keypoints', (joints, 2)),
                    ('keypoint_scores', (joints, )), ('bboxes', (4, )),
                    ('bbox_scores', ()))}))

    def forward(self, inputs: dict | PoseDataSample,
                **kwargs) -> list[PoseDataSample]:
        """Predict.

        Args:
            inputs (dict | PoseDataSample): Of :meth:`preprocess`.
            **kwargs: As in ``Pose2DInferencer``.

        Returns:
            list[PoseDataSample]: The people of the image as one sample.
        """
        if isinstance(inputs, PoseDataSample):  # nobody
            return [inputs]
        return super().forward(inputs, **kwargs)

    def preprocess_single(self, input: str | np.ndarray, index: int,
                          bboxes: Sequence | None = None,
                          camera: dict | None = None,
                          root_depth: float | Sequence | None = None,
                          **kwargs) -> list[dict]:
        """Make the model's inputs of an image.

        Args:
            input (str | np.ndarray): The image's path, or BGR in shape
                [H, W, 3].
            index (int): Its number.
            bboxes (Sequence, optional): Boxes in shape [N, 4], or [N, 5] with
                scores. Defaults to ``None``: those of a detector, or the
                whole image.
            camera (dict, optional): Parameters of
                :func:`camera_parameters`.
            root_depth (float | Sequence, optional): Depth of the roots in mm.
            **kwargs: ``bbox_thr`` and ``nms_thr`` of a detector.

        Returns:
            list[dict]: A packed sample for each person.
        """
        name = _name_of(input, index)
        image = (input if isinstance(input, np.ndarray) else
                 read_image(input))
        if bboxes is not None:
            samples = [self.pipeline(dict(
                self.model.dataset_meta, img=image, img_path=name,
                bbox=box[None, :4], bbox_score=box[4:]))
                for box in check_boxes(bboxes, name)]
        else:
            samples = super().preprocess_single(image, index, **kwargs)
        for sample in samples:
            sample['data_samples'].set_metainfo(dict(img_path=name))
        if camera is None:
            self._say_that_sizes_are_guessed()
            return samples
        depths = check_root_depth(root_depth, len(samples), name)
        for sample, depth in zip(samples, depths, strict=True):
            sample['data_samples'].set_metainfo(
                dict(camera_param=camera, root_depth=depth))
        return samples

    def _say_that_sizes_are_guessed(self) -> None:
        if self._guessed:
            return
        self._guessed = True
        print_log(
            'Without camera and root_depth sizes are a guess: the longer side '
            f'of a crop is taken to show {self.model.crop_extent:g} mm. '
            'Directions and proportions are right', 'current')

    def postprocess(self, preds: list[PoseDataSample], visualization: list,
                    return_datasamples: bool = False,
                    pred_out_dir: str = '') -> dict:
        """Convert predictions into lists and numbers, and write them.

        Args:
            preds (list[PoseDataSample]): The people of each image.
            visualization (list): The pictures.
            return_datasamples (bool): Leave samples as they are.
            pred_out_dir (str): A JSON file for each image goes here, one in
                all for a video.

        Returns:
            dict: ``predictions`` and ``visualization``.
        """
        results = super().postprocess(preds, visualization)
        for people, sample in zip(results['predictions'], preds, strict=True):
            _add_places(people, sample.pred_instances)
            if not pred_out_dir:
                continue
            if self._video_input:
                self.video_info['predictions'].append(people)
            else:
                name = Path(sample.metainfo['img_path']).stem
                mmengine.dump(people, f'{pred_out_dir}/{name}.json',
                              indent='  ')
        if return_datasamples:
            results['predictions'] = preds
        return results


def _add_places(people: list[dict], instances: InstanceData) -> None:
    for index, person in enumerate(people):
        # MMPose puts the box into a tuple, and scores are of NumPy
        if 'bbox' in person:
            person['bbox'] = np.ravel(person['bbox']).tolist()
        if 'bbox_score' in person:
            person['bbox_score'] = float(person['bbox_score'])
        for key in PLACES:
            if key in instances:
                person[key] = instances[key][index].tolist()


def check_fits(model: nn.Module, checkpoint: Mapping) -> None:
    """Check that a checkpoint is one of a model.

    MMEngine loads what fits and warns of the rest.

    Args:
        model (nn.Module): The model.
        checkpoint (Mapping): The loaded checkpoint.

    Raises:
        ValueError: Names weights that are missing or have another shape.
    """
    state = checkpoint.get('state_dict', checkpoint)
    state = OrderedDict((key.removeprefix('module.'), value)
                        for key, value in state.items())
    wrong = []
    for key, value in model.state_dict().items():
        if key not in state:
            wrong.append(f'{key} is missing')
        elif state[key].shape != value.shape:
            wrong.append(f'{key} is {tuple(state[key].shape)}, in the model '
                         f'{tuple(value.shape)}')
    if wrong:
        more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise ValueError(
            'the checkpoint is not one of this config: '
            f'{"; ".join(wrong[:3])}{more}. Take the config that it was '
            'trained with')


def image_files(folder: str) -> list[str]:
    """The images in a folder, in order of their names.

    Raises:
        ValueError: If there is none.
    """
    files = sorted(str(file) for file in Path(folder).iterdir()
                   if file.suffix.lower() in IMAGES)
    if not files:
        raise ValueError(f'there is no image in {folder}: their names end in '
                         f'{", ".join(IMAGES)}')
    return files


def read_image(path: str) -> np.ndarray:
    """Read an image as BGR in shape [H, W, 3].

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is broken.
    """
    if '://' not in str(path):
        _check_file(path)
    image = mmcv.imfrombytes(mmengine.fileio.get(str(path)))
    if image is None:
        raise ValueError(f'{path} is broken, or no image')
    return image


def read_camera(camera: Mapping | str | None) -> dict | None:
    """Read a camera, from a JSON file if it is a path.

    Raises:
        ValueError: If it has no f or c; names the file.
    """
    if camera is None:
        return None
    where = 'camera'
    if not isinstance(camera, Mapping):
        where, camera = camera, read_json(camera)
    try:
        return camera_parameters(camera)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from None


def read_json(path: str):
    """Read a JSON file.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no JSON.
    """
    _check_file(path)
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f'{path} is no JSON file: {error}') from None


def check_root_depth(root_depth: float | Sequence, people: int,
                     name: str) -> list[float]:
    """Check the depths of the roots of an image's people.

    Args:
        root_depth (float | Sequence): One for all, or one for each, in mm.
        people (int): Their number.
        name (str): The image, for the error.

    Returns:
        list[float]: One for each.

    Raises:
        ValueError: If there are more or fewer, if one is not in front of the
            camera, or in metres.
    """
    depths = np.ravel(np.asarray(root_depth, np.float64)).tolist()
    if np.ndim(root_depth) == 0:
        depths *= people
    if len(depths) != people:
        raise ValueError(f'{name} has {people} people, but root_depth has '
                         f'{len(depths)} depths')
    # nearer than 10 cm is no person
    if not all(100 <= depth < np.inf for depth in depths):
        raise ValueError(
            'root_depth is the distance of the root joint from the camera in '
            f'millimetres, but for {name} it is {root_depth}: is it in '
            'metres?')
    return depths


def _name_of(image: str | np.ndarray, index: int) -> str:
    """What an image is called; an array by its number."""
    return f'{index:06d}.jpg' if isinstance(image, np.ndarray) else str(image)


def _is_of_each(values) -> bool:
    """Whether values are a list with one for each image."""
    if hasattr(values, 'ndim'):  # an array
        return values.ndim > 0
    return isinstance(values, Sequence) and not isinstance(values, str)


def _of_image(values, index: int, name: str):
    """What holds for an image, of one for all or of one for each."""
    if not _is_of_each(values):
        return values
    if index >= len(values):
        raise ValueError(f'{name} has {len(values)} entries, but there are '
                         'more images: give one for each')
    return values[index]


def _check_all_used(given: Mapping, images: int) -> None:
    """Check that no list has entries that are of no image."""
    for name, values in given.items():
        if _is_of_each(values) and len(values) > images:
            nested = {
                'bboxes': '. Boxes of the people of one image go into a '
                'list of their own: bboxes=[[box, box]]',
                'root_depth': '. Depths of the people of one image go into a '
                'list of their own: root_depth=[[4000, 5000]]'}.get(name, '')
            raise ValueError(
                f'{name} has {len(values)} entries, but the number of images '
                f'is {images}: give one for each{nested}')


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
