"""Frames per second of a video with skeletons, and where the time goes.

    python -m mmpose_wloss render clip --out data/clip --people 2 --size 720

From a file to the video with skeletons and the keypoints as JSON, with a network
whose weights are drawn at random and all joints drawn, in PyTorch and by
onnxruntime, in turn. Figures are medians over rounds, in milliseconds a frame.
"""

import argparse
import contextlib
import io
import logging
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import mmpose_wloss
from mmpose_wloss.apis import TopdownPredictor, person_boxes, predict_video, video
from mmpose_wloss.compat.freed_memory import keep_freed_memory
from mmpose_wloss.deploy import export_onnx

import torch
from json_rows import RESULTS, write_rows
from loss_overhead import CLOCKS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from semi_step import ROOT
from tabulate import tabulate

STAGES = ('read', 'crop', 'network', 'keypoints', 'draw', 'write', 'rest')


class Stages:
    """Seconds of the stages of a video, counted from outside."""

    def __init__(self, clock: Callable):
        self.seconds, self.clock = Counter(), clock

    def timed(self, stage: str, function: Callable) -> Callable:
        """A function whose time counts for a stage."""
        def call(*args, **kwargs):
            start = self.clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[stage] += self.clock() - start
        return call

    def frames(self, function: Callable) -> Callable:
        """A function that gives frames one by one."""
        def call(reader) -> Iterator:
            take = self.timed('read', function(reader).__next__)
            with contextlib.suppress(StopIteration):
                while True:
                    yield take()
        return call

    def of(self, predictor: TopdownPredictor, *arguments) -> video.VideoSummary:
        """Predict a video; the stages' seconds are those of this one."""
        self.seconds.clear()
        start = self.clock()
        head = predictor.model.head
        with contextlib.ExitStack() as patches:
            for owner, name, stage in (
                    (predictor, '_pipeline', 'crop'),
                    (predictor.model, 'test_step', 'network'),
                    (head, 'decode', 'keypoints'), (video, '_draw', 'draw'),
                    (video.VideoWriter, 'write', 'write')):
                patches.enter_context(patch.object(
                    owner, name, self.timed(stage, getattr(owner, name))))
            patches.enter_context(patch.object(
                video.VideoReader, '__iter__',
                self.frames(video.VideoReader.__iter__)))
            summary = predict_video(predictor, *arguments)
        # decoding is a part of the step
        self.seconds['network'] -= self.seconds['keypoints']
        self.seconds['rest'] = self.clock() - start - self.seconds.total()
        return summary


def predictors(config: Config, folder: Path, flip_test: bool) -> dict:
    """The network in PyTorch and as an ONNX file."""
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save(model.state_dict(), folder / 'model.pth')
    export_onnx(model.eval(), config, str(folder / 'model.onnx'))
    options = dict(device='cpu', flip_test=flip_test)
    return {
        'PyTorch': TopdownPredictor(config, str(folder / 'model.pth'), **options),
        'ONNX': TopdownPredictor(config, onnx_file=str(folder / 'model.onnx'),
                                 **options)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--clip', type=Path, default=Path('data/clip'),
                        help='folder that "render clip" wrote')
    parser.add_argument('--config', default='hourglass_mobile_s2_mpii')
    parser.add_argument('--flip', action='store_true', help='with the flip test')
    parser.add_argument('--frames', type=int, default=32)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--clock', choices=CLOCKS, default='wall',
                        help='cpu: of all threads')
    args = parser.parse_args()
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    keep_freed_memory()  # as the command does
    torch.manual_seed(0)
    config = Config.fromfile(str(ROOT / 'configs' / f'{args.config}.py'))
    boxes = person_boxes(str(args.clip / 'boxes.json'))

    stages, rounds, people = Stages(CLOCKS[args.clock]), {}, 0
    with tempfile.TemporaryDirectory() as folder, \
            contextlib.redirect_stdout(io.StringIO()):
        ours = predictors(config, Path(folder), args.flip)
        for number in range(args.rounds + 1):
            for runtime in list(ours)[::1 if number % 2 else -1]:
                summary = stages.of(
                    ours[runtime], str(args.clip / 'clip.mp4'), folder, boxes,
                    -1., args.frames)
                people = summary.people / summary.frames
                if number:
                    rounds.setdefault(runtime, []).append(
                        {stage: 1e3 * stages.seconds[stage] / summary.frames
                         for stage in STAGES})
    rows = {runtime: dict(
        frames_per_second=1e3 / statistics.median(sum(one.values()) for one in each),
        milliseconds={stage: statistics.median(one[stage] for one in each)
                      for stage in STAGES})
        for runtime, each in rounds.items()}
    print(tabulate(
        [[runtime, f'{row["frames_per_second"]:.1f}',
          *(f'{row["milliseconds"][stage]:.2f}' for stage in STAGES)]
         for runtime, row in rows.items()],
        ['runtime', 'frames/s', *(f'{stage}, ms' for stage in STAGES)],
        tablefmt='github'))
    write_rows(RESULTS / 'video_speed.json', dict(
        format=1, config=args.config, flip_test=args.flip, people=people,
        frames=args.frames, rounds=args.rounds, clock=args.clock,
        threads=torch.get_num_threads(),
        size=list(video.VideoReader(str(args.clip / 'clip.mp4')).size), rows=rows,
        versions=dict(torch=torch.__version__, python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
