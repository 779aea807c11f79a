"""Test a checkpoint: MMPose's own tool, with checks before it starts."""

from mmpose_wloss.preflight import run_tool

if __name__ == '__main__':
    run_tool('test')
