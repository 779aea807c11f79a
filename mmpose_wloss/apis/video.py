"""People in videos: keypoints of every frame, as a file and as a picture."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from tqdm import tqdm

from ..visualization.video_sheet import write_gif, write_sheet
from .person_boxes import PersonBoxes, whole_frames
from .stopwatch import Stopwatch
from .topdown_predictor import TopdownPredictor
from .video_files import (
    CODECS,
    VideoReader,
    VideoWriter,
    written_whole,
)

FORMAT = 1
GIF_LIMIT = 300_000
# for a video that does not say how fast it is
USUAL_FPS = 25.


class VideoFiles(NamedTuple):
    """What is written of a video.

    Attributes:
        video (Path): The video with skeletons.
        keypoints (Path): The keypoints, JSON.
        sheet (Path): Evenly spaced frames, PNG.
        gif (Path): The small moving picture.
    """
    video: Path
    keypoints: Path
    sheet: Path
    gif: Path

    @classmethod
    def at(cls, out: str, video: str) -> 'VideoFiles':
        """Where they go.

        Args:
            out (str): A folder, or the video file to write, beside which the
                others go.
            video (str): The video that is read.

        Raises:
            ValueError: If the video would be written over itself.
        """
        target = Path(out)
        if target.suffix.lower() not in CODECS:
            target = target / f'{Path(video).stem}.mp4'
        if target.resolve() == Path(video).resolve():
            raise ValueError(f'{target} is the video that is read: choose '
                             'another --out')
        return cls(target, target.with_suffix('.json'),
                   target.with_name(f'{target.stem}_sheet.png'),
                   target.with_suffix('.gif'))


class VideoSummary(NamedTuple):
    """What came of a video.

    Attributes:
        frames (int): How many were predicted on.
        people (int): How many poses are in them.
        seconds (float): Time for all.
        parts (dict[str, float]): Seconds that went to ``decoding``,
            ``boxes``, ``crops``, the ``network``, ``drawing``, ``writing``,
            and ``pictures``: sheet and GIF.
        files (list[Path]): What was written.
        notes (list[str]): What should be known of it.
    """
    frames: int
    people: int
    seconds: float
    parts: dict[str, float]
    files: list[Path]
    notes: list[str]

    def __str__(self) -> str:
        network = self.parts.get('network', 0.)
        # sheet and GIF are of the whole video, whatever its length
        seconds = self.seconds - self.parts.get('pictures', 0.)
        speed = f'{self.frames / seconds:.1f} frames/s in all'
        if network:
            speed += f', {self.frames / network:.1f} of the network alone'
        rest = self.seconds - sum(self.parts.values())
        parts = ', '.join(f'{name} {spent:.2f}' for name, spent in [
            *self.parts.items(), ('other', rest)])
        return '\n'.join([
            f'{self.frames} frames with {self.people} people in '
            f'{self.seconds:.1f} s: {speed}', f'seconds: {parts}', *self.notes,
            *(f'written: {file} ({file.stat().st_size / 1000:.0f} kB)'
              for file in self.files)])


class _KeypointsFile:
    """Writes frames as they come, one a line: a video may be long."""

    def __init__(self, file: TextIO, head: dict) -> None:
        self._file = file
        self._start = json.dumps(head, indent=1).removesuffix('\n}') + (
            ',\n "frames": [\n')

    def write(self, number: int, people: InstanceData) -> None:
        self._file.write(self._start + json.dumps(dict(
            frame=number, boxes=_rounded(people.bboxes, 2),
            box_scores=_rounded(people.bbox_scores, 4),
            keypoints=_rounded(people.keypoints, 2),
            scores=_rounded(people.keypoint_scores, 4))))
        self._start = ',\n'

    def close(self) -> None:
        self._file.write('\n]}\n')


def predict_video(predictor: TopdownPredictor, video: str, out: str,
                  boxes: PersonBoxes = whole_frames, kpt_thr: float = 0.3,
                  max_frames: int | None = None, codec: str | None = None,
                  sheet: int = 0, gif: bool = False) -> VideoSummary:
    """Predict the people of a video, and write them as JSON and into it.

    Frames are read, predicted and written by the predictor's batch size, and
    only so many are in memory. All files are written together: if anything
    fails, old ones stay whole.

    Args:
        predictor (TopdownPredictor): The model.
        video (str): The video.
        out (str): A folder, or the video file to write; its ending says the
            format, one of mp4, mov, mkv, avi, webm.
        boxes (Callable): What finds the boxes of consecutive frames. Defaults
            to :func:`whole_frames`: each frame is one person's box.
        kpt_thr (float): Joints with a lower score are not drawn; they are in
            the JSON file. Defaults to 0.3.
        max_frames (int, optional): Stop after so many. Defaults to ``None``:
            all.
        codec (str, optional): Four letters for OpenCV. Defaults to ``None``:
            what fits the ending.
        sheet (int): Evenly spaced frames to draw side by side. Defaults to 0:
            none.
        gif (bool): Write a small moving picture. Defaults to ``False``.

    Returns:
        VideoSummary: Figures and files.

    Raises:
        FileNotFoundError: If there is no such video.
        ValueError: If the video cannot be read, boxes do not fit, or it
            cannot be written like that.
    """
    if max_frames is not None and max_frames < 1:
        raise ValueError(
            f'at least 1 frame is to be read, but max_frames is {max_frames}')
    if sheet < 0:
        raise ValueError(
            f'the frames of a sheet cannot be fewer than none, but are {sheet}')
    files = VideoFiles.at(out, video)
    files.video.parent.mkdir(parents=True, exist_ok=True)
    watch, whole = Stopwatch(), Stopwatch()
    notes: list[str] = []
    people_in_all = 0
    with whole('all'), VideoReader(video) as reader, \
            written_whole(*files) as partials:
        partial = VideoFiles(*partials)
        fps = reader.fps
        if math.isnan(fps):
            fps = USUAL_FPS
            notes.append(f'{video} does not say how fast it is: written at '
                         f'{fps:g} frames per second')
        head = dict(
            format=FORMAT, video=Path(video).name, fps=fps,
            width=reader.size[0], height=reader.size[1],
            joints=list(predictor.joints), model=dict(
                weights=predictor.weights.name, sha256=predictor.digest(),
                flip_test=predictor.flip_test))
        painter = _painter(reader.size, predictor.metainfo)
        writer = VideoWriter(str(partial.video), fps, reader.size, codec)
        total = min(reader.announced or math.inf, max_frames or math.inf)
        frames = islice(reader, max_frames)
        with open(partial.keypoints, 'w') as file, tqdm(
                total=None if total == math.inf else total, unit='frame',
                desc='predicting') as bar:
            keypoints = _KeypointsFile(file, head)
            while batch := _read(frames, predictor.batch_size, watch):
                with watch('boxes'):
                    found = boxes(batch, bar.n)
                predicted = predictor.predict(batch, found, watch)
                for frame, people in zip(batch, predicted, strict=True):
                    with watch('drawing'):
                        drawn = _draw(painter, frame, people, kpt_thr)
                    with watch('writing'):
                        writer.write(drawn)
                        keypoints.write(bar.n, people)
                    people_in_all += len(people)
                    bar.update()
            keypoints.close()
        with watch('writing'):
            writer.close()
        notes += _notes(reader, max_frames, boxes)
        if sheet or gif:
            with watch('pictures'):
                if sheet:
                    write_sheet(str(partial.video), sheet, str(partial.sheet))
                if gif:
                    size = write_gif(str(partial.video), str(partial.gif),
                                     GIF_LIMIT)
                    if size > GIF_LIMIT:
                        notes.append(f'{files.gif} has {size / 1000:.0f} kB: '
                                     'it could not be made smaller')
    for note in notes:
        print_log(note, 'current')
    return VideoSummary(
        writer.written, people_in_all, whole.seconds['all'], watch.seconds,
        [file for file, wanted in zip(files, (True, True, sheet, gif),
                                      strict=True) if wanted], notes)


def _painter(size: tuple[int, int], metainfo: dict) -> PoseLocalVisualizer:
    """MMPose's visualizer, with lines that are seen on large frames too."""
    width = max(1, round(min(size) / 200))
    painter = PoseLocalVisualizer('video', line_width=width, radius=width + 1)
    painter.set_dataset_meta(metainfo)
    return painter


def _draw(painter: PoseLocalVisualizer, frame: np.ndarray,
          people: InstanceData, kpt_thr: float) -> np.ndarray:
    sample = PoseDataSample(pred_instances=people)
    # it takes images for RGB
    drawn = painter.add_datasample(
        'frame', np.ascontiguousarray(frame[..., ::-1]), sample,
        draw_gt=False, draw_bbox=False, kpt_thr=kpt_thr)
    return np.ascontiguousarray(drawn[..., ::-1])


def _read(frames: Iterator[np.ndarray], count: int,
          watch: Stopwatch) -> list[np.ndarray]:
    with watch('decoding'):
        return list(islice(frames, count))


def _notes(reader: VideoReader, max_frames: int | None,
           boxes: PersonBoxes) -> list[str]:
    """What is amiss with a video that was read to its end."""
    if max_frames is not None and reader.read == max_frames:
        return []
    notes = []
    if reader.announced is not None and reader.read < reader.announced:
        notes.append(f'{reader.path} says it has {reader.announced} frames, '
                     f'but {reader.read} could be read: is it truncated?')
    beyond = [number for number in getattr(boxes, 'boxes', ())
              if number >= reader.read]
    if beyond:
        notes.append(f'{boxes.path} has boxes of {len(beyond)} frames after '
                     f"the video's last, {reader.read - 1}")
    return notes


def _rounded(values: np.ndarray, digits: int) -> Sequence:
    return np.asarray(values, np.float64).round(digits).tolist()
