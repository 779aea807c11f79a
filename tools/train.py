"""As MMPose's users expect it: ``python -m mmpose_wloss train``."""

import sys

from mmpose_wloss.__main__ import run

if __name__ == '__main__':
    sys.exit(run('train'))
