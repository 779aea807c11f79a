"""People in videos: keypoints of every frame, as a file and as a picture."""

import json
import math
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from tqdm import tqdm

from ..common import checks
from ..common.files import check_spares, digest_of_file, replaced_whole
from .person_boxes import BoxesFile, PersonBoxes, whole_frames
from .topdown_predictor import TopdownPredictor
from .video_files import CODECS, VideoReader, VideoWriter

FORMAT = 1
# for a video that does not say how fast it is
USUAL_FPS = 25.


class VideoSummary(NamedTuple):
    """What came of a video: numbers of frames and of people in them.

    ``predicting`` are the seconds for crops and the network; ``notes`` say what is
    amiss with the video; ``files`` are that with skeletons and the keypoints.
    """
    frames: int
    people: int
    seconds: float
    predicting: float
    files: list[Path]
    notes: list[str]

    def __str__(self) -> str:
        return '\n'.join([
            f'{self.frames} frames with {self.people} people in '
            f'{self.seconds:.1f} s: {self.frames / self.seconds:.1f} frames/s '
            f'in all, {self.frames / self.predicting:.1f} of the network alone',
            *self.notes,
            *(f'written: {file} ({file.stat().st_size / 1000:.0f} kB)'
              for file in self.files)])


def predict_video(predictor: TopdownPredictor, video: str, out: str,
                  boxes: PersonBoxes = whole_frames, kpt_thr: float = 0.3,
                  max_frames: int | None = None) -> VideoSummary:
    """Predict the people of a video, and write them as JSON and into it.

    As many frames as the predictor's batch size are in memory. If anything
    fails, old files stay whole.

    Args:
        predictor (TopdownPredictor): The model.
        video (str): The video.
        out (str): A folder, or the video file to write, which ends in .mp4, .mov,
            .mkv, .avi or .webm.
        boxes (Callable): What finds the boxes of consecutive frames.
        kpt_thr (float): Joints with a lower score are not drawn; they are in
            the JSON file.
        max_frames (int, optional): Stop after so many.

    Raises:
        MissingFile: If there is no such video.
        UserError: If the video cannot be read or written like that, boxes do not
            fit, or a file to write is one that is read.
    """
    if max_frames is not None:
        checks.whole(1, max_frames=max_frames)
    target = Path(out)
    if target.suffix.lower() not in CODECS:
        target = target / f'{Path(video).stem}.mp4'
    files = [target, target.with_suffix('.json')]
    check_spares(files, [video, predictor.weights, *(
        [boxes.path] if isinstance(boxes, BoxesFile) else [])])
    start, predicting, people_in_all = time.perf_counter(), 0., 0
    reader = VideoReader(video)
    fps = reader.fps or USUAL_FPS
    head = dict(
        format=FORMAT, video=Path(video).name, fps=fps,
        width=reader.size[0], height=reader.size[1],
        joints=list(predictor.joints), model=dict(
            weights=predictor.weights.name, sha256=digest_of_file(predictor.weights),
            flip_test=predictor.flip_test))
    painter = _painter(predictor.metainfo, reader.size)
    total = min(reader.announced or math.inf, max_frames or math.inf)
    with replaced_whole(*files) as (video_file, json_file), \
            open(json_file, 'w') as keypoints, tqdm(
                total=None if total == math.inf else total, unit='frame',
                desc='predicting') as bar:
        writer = VideoWriter(str(video_file), fps, reader.size)
        # a frame is a line: a video may be long
        keypoints.write(json.dumps(head, indent=1).removesuffix('\n}')
                        + ',\n "frames": [\n')
        frames = islice(reader, max_frames)
        while batch := list(islice(frames, predictor.batch_size)):
            found = boxes(batch, bar.n)
            predicting -= time.perf_counter()
            predicted = predictor.predict(batch, found)
            predicting += time.perf_counter()
            for frame, people in zip(batch, predicted, strict=True):
                writer.write(_draw(painter, frame, people, kpt_thr))
                keypoints.write((',\n' if bar.n else '') + json.dumps(dict(
                    frame=bar.n, boxes=_rounded(people.bboxes, 2),
                    box_scores=_rounded(people.bbox_scores, 4),
                    keypoints=_rounded(people.keypoints, 2),
                    scores=_rounded(people.keypoint_scores, 4))))
                people_in_all += len(people)
                bar.update()
        keypoints.write('\n]}\n')
        writer.close()
    notes = []
    if reader.fps is None:
        notes.append(f'{video} does not say how fast it is: written at '
                     f'{USUAL_FPS:g} frames per second')
    if reader.read < min(reader.announced or 0, max_frames or math.inf):
        notes.append(f'{video} says it has {reader.announced} frames, but '
                     f'{reader.read} could be read: is it truncated?')
    return VideoSummary(writer.written, people_in_all,
                        time.perf_counter() - start, predicting, files, notes)


def _painter(metainfo: dict, size: tuple[int, int]) -> PoseLocalVisualizer:
    """What draws people on frames of some size."""
    # lines that are seen on large frames, too
    width = max(1, round(min(size) / 200))
    painter = PoseLocalVisualizer('video', line_width=width, radius=width + 1)
    # it draws in RGB on RGB: to turn its colors is faster than to turn frames
    painter.set_dataset_meta(dict(metainfo, **{
        key: metainfo[key][..., ::-1]
        for key in ('keypoint_colors', 'skeleton_link_colors')}))
    return painter


def _draw(painter: PoseLocalVisualizer, frame: np.ndarray,
          people: InstanceData, kpt_thr: float) -> np.ndarray:
    return painter.add_datasample(
        'frame', frame, PoseDataSample(pred_instances=people), draw_gt=False,
        draw_bbox=False, kpt_thr=kpt_thr)


def _rounded(values: np.ndarray, digits: int) -> list:
    return np.asarray(values, np.float64).round(digits).tolist()
