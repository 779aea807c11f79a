"""``python -m mmpose_wloss VERB``: each verb is a file in ``commands``."""

import argparse
import importlib
import sys

VERBS = dict(doctor='tell what is installed, what fits, and what mends the rest')


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments (List[str], optional): Those of the command line by default.

    Returns:
        int: The exit status.
    """
    parser = argparse.ArgumentParser(
        prog='python -m mmpose_wloss',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'{verb}  {what}' for verb, what in VERBS.items()))
    parser.add_argument('verb', choices=VERBS)
    parser.add_argument('arguments', nargs=argparse.REMAINDER)
    args = parser.parse_args(arguments)
    command = importlib.import_module(f'mmpose_wloss.commands.{args.verb}')
    return command.main(args.arguments)


if __name__ == '__main__':
    sys.exit(main())
