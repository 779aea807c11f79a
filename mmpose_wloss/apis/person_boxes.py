"""Where the people of a video are: what finds their boxes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader

from ..common.boxes import check_boxes
from ..common.files import read_json
from ..common.state_dicts import check_fits

# the boxes of consecutive frames, [N, 5] each, given the first one's number
PersonBoxes = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]


def whole_frames(frames: Sequence[np.ndarray],
                 first: int = 0) -> list[np.ndarray]:
    """Take each frame for one person's box.

    Args:
        frames (Sequence[np.ndarray]): Each [H, W, 3].
        first (int): The number of the first.

    Returns:
        list[np.ndarray]: Left, top, right, bottom in pixels and a score of 1,
        each in shape [1, 5].
    """
    return [np.array([[0, 0, frame.shape[1], frame.shape[0], 1]], np.float32)
            for frame in frames]


class BoxesFile:
    """Boxes from a JSON file.

    It holds either a list with the boxes of each frame, or a dict of them by
    the frame's number, ``{"0": [[left, top, right, bottom], …], …}``; in
    frames that the dict leaves out there is nobody. A box may have a score
    as a fifth number.

    Args:
        path (str): The file.

    Attributes:
        boxes (dict[int, np.ndarray]): In shape [N, 5], by the frame's number.
        per_frame (bool): Whether it has a list for every frame.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is something else; names the frame.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        content = read_json(path)
        self.per_frame = isinstance(content, list)
        if self.per_frame:
            content = dict(enumerate(content))
        if not isinstance(content, dict):
            raise ValueError(
                f'{path} must hold a list with the boxes of each frame, or '
                '{"frame number": boxes, …}')
        self.boxes = {}
        for number, boxes in content.items():
            if not str(number).isdecimal():
                raise ValueError(
                    f'{path} must name frames by their numbers from 0, but '
                    f'one is {number!r}')
            self.boxes[int(number)] = check_boxes(
                boxes, f'frame {number} in {path}')

    def __call__(self, frames: Sequence[np.ndarray],
                 first: int = 0) -> list[np.ndarray]:
        """Look up the boxes of consecutive frames.

        Args:
            frames (Sequence[np.ndarray]): The frames.
            first (int): The number of the first.

        Returns:
            list[np.ndarray]: Of each in shape [N, 5].

        Raises:
            ValueError: If a list has fewer entries.
        """
        numbers = range(first, first + len(frames))
        if self.per_frame and numbers.stop > len(self.boxes):
            raise ValueError(
                f'{self.path} has boxes of {len(self.boxes)} frames, but the '
                'video has more: give a list for each, empty without people')
        nobody = np.zeros((0, 5), np.float32)
        return [self.boxes.get(number, nobody) for number in numbers]


class PersonDetector:
    """People found by a detector of MMDetection.

    Args:
        config (str): Its config.
        checkpoint (str): Its checkpoint.
        device (str, optional): Defaults to ``None``: a GPU, if there is one.
        score_thr (float): Boxes with a lower score are left out. Defaults to
            0.5.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the checkpoint is not one of the config, or the
            detector knows no people.
    """

    def __init__(self, config: str, checkpoint: str,
                 device: str | None = None, score_thr: float = 0.5) -> None:
        # all of MMDetection's models, for detectors only
        from mmdet.apis import inference_detector, init_detector

        for file in (config, checkpoint):
            if not Path(file).is_file():
                raise FileNotFoundError(f'there is no file {file}')
        self._inference = inference_detector
        self.score_thr = score_thr
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.model = init_detector(
                config, checkpoint, palette='coco', device=device or (
                    'cuda' if torch.cuda.is_available() else 'cpu'))
        content = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
        check_fits(content.get('state_dict', content), self.model.state_dict(),
                   checkpoint, 'Take the config that it was trained with')
        classes = self.model.dataset_meta['classes']
        if 'person' not in classes:
            raise ValueError(
                f'the detector {config} knows no class "person", but '
                f'{", ".join(classes[:5])}{", …" if len(classes) > 5 else ""}')
        self.label = list(classes).index('person')

    def __call__(self, frames: Sequence[np.ndarray],
                 first: int = 0) -> list[np.ndarray]:
        """Find people.

        Args:
            frames (Sequence[np.ndarray]): BGR, each [H, W, 3].
            first (int): The number of the first.

        Returns:
            list[np.ndarray]: Left, top, right, bottom in pixels and score of
            the people of each, in shape [N, 5].
        """
        with DefaultScope.overwrite_default_scope('mmdet'):
            results = self._inference(self.model, list(frames))
        return [self._people(result.pred_instances.cpu().numpy())
                for result in results]

    def _people(self, found) -> np.ndarray:
        boxes = np.column_stack([found.bboxes, found.scores])
        size = boxes[:, 2:4] - boxes[:, :2]
        return boxes[(found.labels == self.label)
                     & (found.scores >= self.score_thr)
                     & (size > 0).all(1)].astype(np.float32)


def person_boxes(source: str, checkpoint: str | None = None,
                 device: str | None = None,
                 score_thr: float = 0.5) -> PersonBoxes:
    """What finds the people, by what a command names.

    Args:
        source (str): ``'whole'``, a ``.json`` file, or the ``.py`` config of
            a detector.
        checkpoint (str, optional): The detector's checkpoint.
        device (str, optional): The detector's device.
        score_thr (float): The detector's lowest score.

    Returns:
        Callable: Takes frames and the first one's number.

    Raises:
        ValueError: If it is none of them, or a detector has no checkpoint.
    """
    kind = Path(source).suffix
    if (checkpoint is not None) != (kind == '.py'):
        raise ValueError(
            f'the detector {source} needs its checkpoint, --det-checkpoint'
            if kind == '.py' else
            f'the checkpoint {checkpoint} of a detector needs its config, '
            f'--boxes CONFIG.py, but there is --boxes {source}')
    if source == 'whole':
        return whole_frames
    if kind == '.json':
        return BoxesFile(source)
    if kind == '.py':
        return PersonDetector(source, checkpoint, device, score_thr)
    raise ValueError(
        f'--boxes must be whole, a .json file with boxes, or the .py config '
        f'of a detector, but is {source}')
