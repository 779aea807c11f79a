"""How much of people joint cutout hides: as much as the original code, at any size."""

from pathlib import Path

from mmpose_wloss.models.hard_views import HardView

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

# of 200 people of the embedded data set, boxes (x, y, width, height) and keypoints
PEOPLE = Path(__file__).parents[2] / 'data' / 'people.npz'
DRAWS = 4


def crops(size):
    """Joints, which of them are labeled, and corners of boxes, in crops of people."""
    data = {name: torch.from_numpy(array).float()
            for name, array in np.load(PEOPLE).items()}
    corner, sides = data['boxes'].split(2, dim=1)
    size = torch.tensor(size).float()
    # as MMPose crops: the box with a quarter more, in the input's aspect ratio
    scale = 1.25 * (sides / size).amax(dim=1)[:, None]
    low, high = size / 2 - sides / scale / 2, size / 2 + sides / scale / 2
    center = (corner + sides / 2)[:, None]
    joints = (data['keypoints'][..., :2] - center) / scale[:, None] + size / 2
    return joints, data['keypoints'][..., 2] > 0, low, high


def shares(hidden, size):
    """The shares of joints and of boxes under hidden pixels [B, H, W]."""
    joints, labeled, low, high = crops(size)
    x, y = joints.round().long().unbind(2)
    inside = labeled & (x >= 0) & (y >= 0) & (x < size[0]) & (y < size[1])
    rows = torch.arange(len(x))[:, None].expand_as(x)
    columns, lines = (torch.arange(length) for length in size)
    box = (((columns >= low[:, :1]) & (columns < high[:, :1]))[:, None] &
           ((lines >= low[:, 1:]) & (lines < high[:, 1:]))[..., None])
    return np.array([hidden[rows[inside], y[inside], x[inside]].float().mean(),
                     hidden[box].float().mean()])


def hidden_by(config, size):
    """What a step hides of people whose joints the teacher knows."""
    joints, *_ = crops(size)
    one = torch.ones(3, 1, 1)
    step = MODELS.build(dict(type='JointCutout', **config))
    return np.mean([shares(step(HardView(
        image=torch.ones(len(joints), 3, *size[::-1]), joints=joints[None],
        mean=one, std=one)).image[:, 0] == 0, size) for _ in range(DRAWS)], axis=0)


def hidden_by_the_original(size=(192, 256)):
    """The same of 5 of 24 outputs, 7 of which are anywhere, with swapped sides."""
    joints, *_ = crops(size)
    found = []
    for _ in range(DRAWS):
        hidden = torch.zeros(len(joints), *size[::-1], dtype=torch.bool)
        for person, hole in zip(joints, hidden, strict=True):
            anywhere = torch.rand(7, 2) * torch.tensor(size)
            centers = torch.cat([person, anywhere])[torch.randint(24, (5, ))]
            centers = (centers + 10 * torch.randn(5, 2)).int()
            half = torch.randint(10, 20, (5, 2))
            limits = torch.tensor(size[::-1])
            for low, high in zip(
                    (centers - half).clamp(0).minimum(limits).tolist(),
                    (centers + half).clamp(0).minimum(limits).tolist(),
                    strict=True):
                hole[low[1]:high[1], low[0]:high[0]] = True
        found.append(shares(hidden, size))
    return np.mean(found, axis=0)


def test_as_much_is_hidden_as_by_the_original_code():
    torch.manual_seed(0)
    original = hidden_by_the_original()
    assert original == pytest.approx([.31, .14], abs=.01)
    assert hidden_by({}, (192, 256)) == pytest.approx(original, abs=.05)
    # what the original code is asked for hides more, where all of it takes effect
    five = hidden_by(dict(num_joints=5), (192, 256))
    assert five == pytest.approx([.40, .18], abs=.015)


@pytest.mark.parametrize('size', [(48, 64), (64, 64), (256, 256), (288, 384)])
def test_as_much_is_hidden_at_every_input_size(size):
    torch.manual_seed(0)
    assert hidden_by({}, size) == pytest.approx([.34, .145], abs=.025)


def test_pixels_of_a_third_hide_more_of_a_small_square():
    """Boxes go by the width of 192 pixels there, but people by the height."""
    torch.manual_seed(0)
    thirds = hidden_by(dict(num_joints=5, half_size=(3, 6), jitter=3.), (64, 64))
    assert thirds == pytest.approx([.44, .24], abs=.015)
