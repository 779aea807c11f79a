"""``python -m mmpose_wloss video CONFIG WEIGHTS VIDEO``: people in a video."""

import argparse
from pathlib import Path

from .. import register_all_modules
from ..common.configs import change_config
from ..common.files import check_config_path, existing_file
from ..compat.freed_memory import keep_freed_memory
from .arguments import KeyValues, check_device


def main(arguments: list[str] | None = None) -> int:
    """Predict the keypoints of people in a video, and draw them into it."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss video', description='Predict the keypoints of '
        'people in a video, and draw them into it.')
    add = parser.add_argument
    add('config', help='config of a top-down 2D pose estimator')
    add('weights', metavar='checkpoint_or_onnx',
        help='its checkpoint, or the .onnx file that "export" wrote')
    add('video')
    add('--out', default='work_dirs/video_demo',
        help='folder to write, or the video file, which ends in .mp4, .mov, '
        '.mkv, .avi or .webm (default: %(default)s)')
    add('--boxes', default='whole', metavar='whole|FILE.json|CONFIG.py',
        help='where people are: each whole frame is one person, a file with '
        '[[left, top, right, bottom], …] of each frame as a list or as '
        '{"frame number": boxes, …}, or the config of a detector of '
        'MMDetection (default: %(default)s)')
    add('--det-checkpoint', metavar='FILE', help="the detector's checkpoint")
    add('--det-thr', type=float, default=0.5,
        help='leave out people whom the detector gives a lower score '
        '(default: %(default)s)')
    add('--network', metavar='NAME', help='which network of the checkpoint of '
        'a training with several: first, second, ema, student …')
    add('--batch-size', type=int, default=16,
        help='frames in memory, and people in the network, at once (default: '
        '%(default)s)')
    add('--no-flip', action='store_true',
        help='leave out the flip test, which halves the time')
    add('--kpt-thr', type=float, default=0.3,
        help='draw no joints with a lower score (default: %(default)s)')
    add('--max-frames', type=int, metavar='N', help='stop after N frames')
    add('--device', help='such as cpu or cuda:0 (default: a GPU, if there is one)')
    add('--cfg-options', nargs='+', action=KeyValues, default={},
        metavar='KEY=VALUE', help='keys of the config to change')
    args = parser.parse_args(arguments)
    check_config_path(args.config)
    existing_file(args.video, 'video')

    register_all_modules()
    from mmengine.device import get_device

    from ..apis import TopdownPredictor, person_boxes, predict_video
    from ..models.wrapped_networks import read_config

    check_device(args.device)
    if (args.device or get_device()) == 'cpu':
        keep_freed_memory()
    config = read_config(args.config, args.weights)
    change_config(config, args.cfg_options)
    onnx = Path(args.weights).suffix == '.onnx'
    boxes = person_boxes(args.boxes, args.det_checkpoint, args.device, args.det_thr)
    predictor = TopdownPredictor(
        config, None if onnx else args.weights,
        onnx_file=args.weights if onnx else None, device=args.device,
        batch_size=args.batch_size, network=args.network,
        flip_test=not args.no_flip)
    print(predict_video(predictor, args.video, args.out, boxes, args.kpt_thr,
                        args.max_frames))
    return 0
