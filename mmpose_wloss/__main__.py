"""``python -m mmpose_wloss VERB``: each verb is a file in ``commands``."""

import argparse
import importlib
import logging
import sys

from mmpose_wloss.version import __version__

VERBS = dict(
    train='train a model, with checks before it starts',
    test='evaluate a checkpoint or an ONNX file',
    recipe='turn a stock config into one of this package',
    demo='train two small networks on the embedded data set and compare them',
    doctor='tell what is installed, what fits, and what mends the rest',
    metainfo='write what MMPose asks to know of the joints of your labels',
    subset='write a part of the annotations, and the rest without labels',
    density='fit, compare and draw densities of poses, and the weights',
    browse='draw a batch of a training, and its hard views',
    curriculum='train 3D networks whose depth grows from stage to stage',
    compare='compare models by size, accuracy and speed',
    export='write a network out of a checkpoint, for MMPose or as ONNX',
    convert='turn a checkpoint of the original code into one of MMPose',
    video='predict the poses in a video',
    pose3d='predict 3D poses in images',
    render='render the embedded data set, or a clip with known joints')


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments (List[str], optional): Those of the command line by default.

    Returns:
        int: The exit status: 1 where the user can mend what went wrong, which
        is then printed without a traceback; 130 where Ctrl-C ended it.
    """
    width = max(map(len, VERBS))
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss', description='Unbalanced training for MMPose.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'{verb:{width}}  {what}'
                         for verb, what in VERBS.items()))
    parser.add_argument('--version', action='version', version=__version__)
    parser.add_argument('verb', choices=VERBS, metavar='VERB',
                        help='one of those below; VERB --help tells the rest')
    parser.add_argument('arguments', nargs=argparse.REMAINDER)
    given = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(given or ['--help'])
    return run(args.verb, args.arguments)


def run(verb: str, arguments: list[str] | None = None) -> int:
    """Run a verb, given its own arguments, as :func:`main`.

    Args:
        verb (str): One of ``VERBS``.
        arguments (List[str], optional): Those of the command line by default.
    """
    from mmpose_wloss.common.blame import sentence_for_user
    # a log that a full disk cuts short is no traceback for each line
    logging.raiseExceptions = bool(sys.flags.dev_mode)
    try:
        command = importlib.import_module(f'mmpose_wloss.commands.{verb}')
        return command.main(arguments)
    except Exception as error:
        sentence = sentence_for_user(error)
        if sentence is None or sys.flags.dev_mode:
            raise
        print(f'error: {sentence}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nInterrupted. ' + (
            'With --resume, the same command goes on from the last checkpoint.'
            if verb == 'train' else
            'The same command goes on from here where it keeps what is done.'),
            file=sys.stderr)
        return 130


if __name__ == '__main__':
    # processes that are spawned import a program's file, and so this package, but
    # no package's __main__ that they know by its name
    __spec__ = None
    sys.exit(main())
