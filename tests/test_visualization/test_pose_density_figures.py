import io

from mmpose_wloss.datasets import LSPDataset  # noqa: F401
from mmpose_wloss.visualization.pose_density_figures import (
    draw_density_comparison,
    draw_density_histogram,
    draw_pose_axes,
)
from mmpose_wloss.visualization.pose_sheet import PoseCell, draw_pose_sheet
from mmpose_wloss.visualization.skeleton import Skeleton

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

RED, BLUE = (1., 0., 0.), (0., 0., 1.)
# a line of three joints, its second bone blue
SKELETON = Skeleton(np.array([[0, 1], [1, 2]]), np.array([RED, BLUE]),
                    np.array([RED, RED, BLUE]))
LINE = np.array([[0., 0.], [10., 0.], [20., 40.]])
ALL = np.ones(3, bool)


def bones(axes) -> list[np.ndarray]:
    """The drawn bones, of all poses in a picture."""
    return [bone for each in axes.collections if hasattr(each, 'get_segments')
            for bone in each.get_segments()]


def joints(axes) -> np.ndarray:
    return np.concatenate([each.get_offsets() for each in axes.collections
                           if not hasattr(each, 'get_segments')])


def picture_of(figure: Figure) -> np.ndarray:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=60)
    return np.asarray(Image.open(stream).convert('RGB'))


@pytest.fixture
def density():
    log_density = np.random.default_rng(0).normal(size=1000)
    weights = np.exp(-log_density / 2)
    return log_density, weights / weights.mean()


def test_histogram(density):
    log_density, weights = density
    log_density[::50] = np.nan
    log_density[1] = -50
    figure = draw_density_histogram(log_density, weights, 'title')
    axes, of_weights = figure.axes
    # all but the few that it says are left of it
    assert sum(bar.get_height() for bar in axes.containers[0]) == 979
    assert axes.get_xlabel().endswith('left: 1')
    bounds = [axes.transData.inverted().transform(
        patch.get_window_extent())[:, 0] for patch in axes.patches[:3]]
    for share in (10, 50):
        place = np.nanpercentile(log_density, share)
        assert np.abs(np.array(bounds) - place).min() < 0.02
    x, y = of_weights.lines[0].get_data()
    assert np.all(np.diff(x) > 0) and np.all(np.diff(y) < 0)
    assert of_weights.get_yscale() == 'log'


@pytest.mark.parametrize('log_density, weights', [
    (np.zeros(5), np.ones(5)), (np.array([-3., 1e4]), np.array([1e6, 1e-6])),
    (np.array([0., np.nan]), np.ones(2))])
def test_extreme_densities_can_be_drawn(log_density, weights):
    assert picture_of(draw_density_histogram(log_density, weights, 'x')).size
    assert picture_of(draw_density_comparison(
        np.stack([log_density] * 2), np.stack([weights, weights[::-1]]),
        ['a', 'b'])).size


def test_comparison(density):
    log_density, weights = density
    figure = draw_density_comparison(
        np.stack([log_density, 2 * log_density]),
        np.stack([weights, weights**2]), ['first', 'second'])
    for axes in figure.axes:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ('first', 'second')
        assert len(joints(axes)) == 1000


def test_axes_of_poses():
    shifts = np.stack([np.full((3, 2), 1.), np.zeros((3, 2))])
    figure = draw_pose_axes(LINE, shifts, np.array([0.75, 0.2]), SKELETON)
    assert [axes.get_title() for axes in figure.axes] == [
        'axis 1\n75.0%', 'axis 2\n20.0%', '', '']
    for axes, shift in zip(figure.axes, (-2, 0, 2, 0), strict=True):
        drawn = np.array(bones(axes))
        assert np.allclose(drawn[:2], LINE[SKELETON.links])  # the mean
        assert np.allclose(drawn[2:], LINE[SKELETON.links] + shift)
        # down is down
        high, low = axes.get_ylim()
        assert low < joints(axes)[:, 1].min() < joints(axes)[:, 1].max() < high


def test_missing_joints_have_no_bones():
    axes = Figure().subplots()
    SKELETON.draw(axes, LINE, np.array([True, True, False]))
    assert np.array_equal(bones(axes), [LINE[:2]])
    assert np.array_equal(joints(axes), LINE[:2])
    colors = [each.get_colors() for each in axes.collections
              if hasattr(each, 'get_segments')]
    assert np.allclose(colors[0][:, :3], [RED])


def test_skeletons_of_data_sets():
    lsp = LSPDataset.METAINFO
    names = tuple(lsp['keypoint_info'][index]['name'] for index in range(14))
    skeleton = Skeleton.of_registered('lsp', names)
    assert len(skeleton.links) == 14 and skeleton.links.max() == 13
    assert 0 <= skeleton.link_colors.min() < skeleton.link_colors.max() <= 1
    assert Skeleton.of_registered('lsp', names[::-1]) is None
    assert Skeleton.of_registered('elves', names) is None
    axes = Figure().subplots()
    Skeleton.without_bones(3).draw(axes, LINE)
    assert not bones(axes) and len(joints(axes)) == 3


def test_a_cell_is_in_its_box_and_shows_all_joints():
    cell = PoseCell.in_box(LINE, ALL, np.array([-10., 0., 30., 80.]), '2.0')
    assert np.allclose(cell.points, [[1 / 8, 0], [2 / 8, 0], [3 / 8, 4 / 8]])
    assert np.allclose(cell.frame, [0.5, 1])
    outside = PoseCell.in_box(LINE, ALL, np.array([0., 0., 10., 10.]), '')
    axes, = draw_pose_sheet({'a': [outside]}, SKELETON, '').axes
    low, high = np.sort([axes.get_xlim(), axes.get_ylim()], axis=1).T
    assert (low < joints(axes)).all() and (joints(axes) < high).all()


def test_sheet_of_poses():
    frame = np.array([0., 0., 40., 40.])
    green = np.zeros((8, 8, 3), np.uint8)
    green[..., 1] = 200
    cells = [PoseCell.in_box(LINE, ALL, frame, f'{index}')
             for index in range(3)]
    groups = {'common': cells,
              'rare': [PoseCell.in_box(LINE, ALL, frame, 'in green', green)],
              'none': []}
    figure = draw_pose_sheet(groups, SKELETON, 'sheet', columns=2)
    grid = np.reshape(figure.axes, (3, 2))
    assert [[axes.get_title() for axes in row] for row in grid] == [
        ['0', '1'], ['2', ''], ['in green', '']]
    assert [row[0].get_ylabel() for row in grid] == ['common', '', 'rare']
    assert not grid[1, 1].axison and not bones(grid[1, 1])
    picture = picture_of(figure).astype(int)
    assert (np.abs(picture - [0, 200, 0]).max(-1) < 30).mean() > 0.02
    assert picture_of(draw_pose_sheet({}, SKELETON, 'empty')).size
