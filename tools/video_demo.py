"""Predict the keypoints of people in a video, and draw them into it."""

import argparse
import sys
from pathlib import Path

from mmpose_wloss.apis import TopdownPredictor, person_boxes, predict_video
from mmpose_wloss.preflight import MissingFile, check_config_path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config of a top-down 2D pose estimator')
    add('weights', metavar='checkpoint_or_onnx',
        help='its checkpoint, or the .onnx file that tools/export_onnx.py '
        'wrote')
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
        help="leave out people of the detector's with a lower score "
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
    add('--sheet', type=int, default=0, metavar='N',
        help='write N evenly spaced frames as one picture')
    add('--gif', action='store_true',
        help='write a moving picture below 300 kB')
    add('--codec', help='four letters for OpenCV (default: what fits the '
        "file's ending)")
    add('--device', help='such as cpu or cuda:0 (default: a GPU, if there is '
        'one)')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='keys of the config to change')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        check_config_path(args.config)
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options or {})
        onnx = Path(args.weights).suffix == '.onnx'
        boxes = person_boxes(args.boxes, args.det_checkpoint, args.device,
                             args.det_thr)
        predictor = TopdownPredictor(
            config, None if onnx else args.weights,
            onnx_file=args.weights if onnx else None, device=args.device,
            batch_size=args.batch_size, network=args.network,
            flip_test=not args.no_flip)
        print(predict_video(
            predictor, args.video, args.out, boxes, args.kpt_thr,
            args.max_frames, args.codec, args.sheet, args.gif))
    except KeyboardInterrupt:
        print('\ninterrupted: nothing was written, old files are as they '
              'were', file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, RuntimeError, ImportError,
            MissingFile) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
