"""Where the people of a video are: what finds their boxes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader

from ..common.boxes import check_boxes
from ..common.errors import UserError
from ..common.files import existing_file, read_json
from ..common.state_dicts import check_fits

# the boxes of consecutive frames, [N, 5] each, given the first one's number
PersonBoxes = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]


def whole_frames(frames: Sequence[np.ndarray], first: int = 0) -> list[np.ndarray]:
    """Each whole frame [H, W, 3] as one person's box [1, 5], with score 1."""
    return [np.array([[0, 0, frame.shape[1], frame.shape[0], 1]], np.float32)
            for frame in frames]


class BoxesFile:
    """Boxes from a JSON file, called with frames and the first one's number.

    The file holds a list with the boxes of each frame, or a dict of them by the
    frame's number, ``{"0": [[left, top, right, bottom], …], …}``, which may leave
    out frames with nobody. A box may have a score as a fifth number.

    Args:
        path (str): The file.

    Raises:
        MissingFile: If it is not there.
        UserError: If it is something else, or, when called, if a list has
            fewer entries than there are frames.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        content = read_json(path)
        self.per_frame = isinstance(content, list)
        if self.per_frame:
            content = dict(enumerate(content))
        if not isinstance(content, dict) or not all(
                str(number).isdecimal() for number in content):
            raise UserError(f'{path} must hold a list with the boxes of each '
                            'frame, or {"frame number from 0": boxes, …}')
        self.boxes = {
            int(number): check_boxes(boxes, f'frame {number} in {path}')
            for number, boxes in content.items()}

    def __call__(self, frames: Sequence[np.ndarray],
                 first: int = 0) -> list[np.ndarray]:
        numbers = range(first, first + len(frames))
        if self.per_frame and numbers.stop > len(self.boxes):
            raise UserError(
                f'{self.path} has boxes of {len(self.boxes)} frames, but the '
                'video has more: give a list for each, empty without people')
        nobody = np.zeros((0, 5), np.float32)
        return [self.boxes.get(number, nobody) for number in numbers]


class PersonDetector:
    """People found by a detector of MMDetection, called with BGR frames.

    Of a detector with one class, its objects are taken, whatever they are.

    Args:
        config (str): Its config.
        checkpoint (str): Its checkpoint.
        device (str, optional): None takes a GPU, if there is one.
        score_thr (float): Boxes with a lower score are left out.

    Raises:
        MissingFile: If a file is not there.
        UserError: If the checkpoint does not fit, or knows several classes, none
            of which is ``person``.
    """

    def __init__(self, config: str, checkpoint: str,
                 device: str | None = None, score_thr: float = 0.5) -> None:
        # all of MMDetection's models, for detectors only
        from mmdet.apis import inference_detector, init_detector

        for file in (config, checkpoint):
            existing_file(file)
        self._inference = inference_detector
        self.score_thr = score_thr
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.model = init_detector(
                config, checkpoint, palette='coco', device=device or (
                    'cuda' if torch.cuda.is_available() else 'cpu'))
        needed = self.model.state_dict()
        given = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
        given = {key.removeprefix('module.'): value
                 for key, value in given.get('state_dict', given).items()}
        check_fits({key: given[key] for key in given if key in needed}, needed,
                   checkpoint, 'Take the config that it was trained with')
        classes = list(self.model.dataset_meta['classes'])
        if 'person' not in classes and len(classes) > 1:
            raise UserError(f'the detector {config} knows no class "person", but '
                            f'{", ".join(classes[:5])}')
        self.label = classes.index('person') if 'person' in classes else 0

    def __call__(self, frames: Sequence[np.ndarray],
                 first: int = 0) -> list[np.ndarray]:
        with DefaultScope.overwrite_default_scope('mmdet'):
            results = self._inference(self.model, list(frames))
        people = []
        for result in results:
            found = result.pred_instances.cpu().numpy()
            boxes = np.column_stack([found.bboxes, found.scores])
            people.append(boxes[
                (found.labels == self.label)
                & (found.scores >= self.score_thr)
                & (boxes[:, 2:4] > boxes[:, :2]).all(1)].astype(np.float32))
        return people


def person_boxes(source: str, checkpoint: str | None = None,
                 device: str | None = None,
                 score_thr: float = 0.5) -> PersonBoxes:
    """What finds the people, by what a command names.

    Args:
        source (str): ``'whole'``, a ``.json`` file, or a detector's ``.py`` config.
        checkpoint, device, score_thr: Of the detector, as for :class:`PersonDetector`.

    Raises:
        UserError: If it is none of them, or a detector has no checkpoint.
    """
    kind = Path(source).suffix
    if source != 'whole' and kind not in ('.json', '.py'):
        raise UserError('--boxes must be whole, a .json file with boxes, or '
                        f'the .py config of a detector, but is {source}')
    if (checkpoint is not None) != (kind == '.py'):
        raise UserError('a detector needs both --boxes CONFIG.py and '
                        f'--det-checkpoint, got {source} and {checkpoint}')
    if kind == '.py':
        return PersonDetector(source, checkpoint, device, score_thr)
    return BoxesFile(source) if kind == '.json' else whole_frames
