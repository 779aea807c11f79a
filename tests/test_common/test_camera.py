from mmpose_wloss.common.camera import back_project, camera_parameters, project
from mmpose_wloss.common.errors import UserError

import numpy as np
import pytest
from mmpose.utils.camera import SimpleCamera

PINHOLE = dict(f=[[1145.], [1143.]], c=[[512.], [515.]])
LENS = dict(PINHOLE, k=[-0.207, 0.248, -0.003], p=[-0.0014, -0.00098])
PRISM = dict(LENS, s=[0.002, 0., 0.001, 0.])


def random_points() -> np.ndarray:
    return np.random.default_rng(0).uniform(
        (-1500, -1500, 4000), (1500, 1500, 6000), (2, 17, 3))


@pytest.mark.parametrize('camera', [PINHOLE, LENS], ids=['pinhole', 'lens'])
def test_it_projects_as_mmpose_does(camera):
    points = random_points()
    stock = SimpleCamera(dict(camera, R=np.eye(3), T=np.zeros((3, 1))))
    pixels = project(points, camera_parameters(camera))
    assert pixels.shape == (2, 17, 2)
    # which is in float32
    np.testing.assert_allclose(
        pixels, stock.camera_to_pixel(points.copy()), atol=1e-3)


def test_thin_prism_distortion_is_added():
    camera = camera_parameters(dict(f=[1, 1], c=[0, 0], s=[.1, .2, .3, .4]))
    x, y = .3, .4
    square = x**2 + y**2
    np.testing.assert_allclose(
        project(np.array([x, y, 1]), camera),
        (x + .1 * square + .2 * square**2, y + .3 * square + .4 * square**2))


@pytest.mark.parametrize('camera', [PINHOLE, PRISM], ids=['pinhole', 'prism'])
def test_back_projection_undoes_projection(camera):
    points = random_points()
    pixels = project(points, camera_parameters(camera))
    np.testing.assert_allclose(
        back_project(pixels, points[..., 2], camera), points, atol=0.05)


def test_parameters_are_flat_and_others_are_ignored():
    camera = camera_parameters(dict(PRISM, R=np.eye(3), w=3))
    assert {key: value.shape for key, value in camera.items()} == dict(
        f=(2, ), c=(2, ), k=(3, ), p=(2, ), s=(4, ))


@pytest.mark.parametrize('camera, argument', [
    (dict(c=[1, 1]), 'f'), (dict(f=None, c=[1, 1]), 'f'), ([1, 2], 'f'),
    (dict(f=[1, 1]), 'c'), (dict(f=1145., c=[1, 1]), "'f' must be 2"),
    (dict(f=[0, 1], c=[1, 1]), "'f' must be 2"),
    (dict(f=[1, 1], c=[1, np.nan]), "'c' must be 2"),
    (dict(f=[1, 1], c=[1, 1], k=[1, 2]), "'k' must be 3"),
    (dict(f=[1, 1], c=[1, 1], p='none'), "'p' must be 2")])
def test_parameters_that_are_missing_or_malformed(camera, argument):
    with pytest.raises(UserError, match=f'camera 7.*{argument}'):
        camera_parameters(camera, 'camera 7')
    with pytest.raises(UserError):
        back_project(np.zeros(2), np.ones(()), camera)
