"""As MMPose's users expect it: ``python -m mmpose_wloss test``."""

import sys

from mmpose_wloss.__main__ import run

if __name__ == '__main__':
    sys.exit(run('test'))
