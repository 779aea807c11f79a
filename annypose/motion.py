"""Motion: a body that goes smoothly from pose to pose."""

import copy
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from .poses import Pose, sample_pose

PARTS = ('left_arm', 'right_arm', 'left_leg', 'right_leg', 'trunk')


def mirrored(pose: Pose) -> Pose:
    """A copy of a pose with left and right exchanged."""
    other = copy.deepcopy(pose)
    other.left_arm, other.right_arm = other.right_arm, other.left_arm
    other.left_leg, other.right_leg = other.right_leg, other.left_leg
    trunk = other.trunk
    for name in ('side_bend', 'twist', 'tilt', 'turn'):
        setattr(trunk, name, -getattr(trunk, name))
    other.roll, other.sideways = -other.roll, -other.sideways
    return other


def between(first: Pose, second: Pose, share: float) -> Pose:
    """A pose on the way from one to another, 0 to 1 of which is done.

    Each angle is in proportion, so within the limits of joints, too.
    """
    def mixed(one, two, names):
        return {name: (1 - share) * getattr(one, name)
                + share * getattr(two, name) for name in names}

    parts = {}
    for name in PARTS:
        one, two = getattr(first, name), getattr(second, name)
        parts[name] = replace(
            one, **mixed(one, two, [entry.name for entry in fields(one)]))
    return Pose(first.pose_class, **parts, **mixed(
        first, second, ('pitch', 'roll', 'sideways')))


def sample_key_poses(rng: np.random.Generator, count: int) -> list[Pose]:
    """Draw so many poses that a body goes through.

    They are standing, reaching, and strides, left and right in turn.
    """
    poses: list[Pose] = []
    while len(poses) < count:
        stride = sample_pose(rng, 'walking')
        poses += [sample_pose(rng, 'standing'), sample_pose(rng, 'reaching'),
                  stride, mirrored(stride), stride]
    start = rng.integers(5)
    return (poses + poses)[start:start + count]


def pose_at(poses: Sequence[Pose], time: float) -> Pose:
    """The pose of a body at a time; it is in each pose one unit apart."""
    before = min(int(time), len(poses) - 1)
    after = min(before + 1, len(poses) - 1)
    share = float(np.clip(time - before, 0, 1))
    # starts and stops slowly
    return between(poses[before], poses[after], share * share * (3 - 2 * share))
