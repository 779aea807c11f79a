from mmpose_wloss.common.camera import (
    back_project,
    camera_matrix,
    camera_parameters,
    distortion_coefficients,
    project,
)

import numpy as np
import pytest
from mmpose.utils.camera import SimpleCamera

PINHOLE = dict(f=[[1145.], [1143.]], c=[[512.], [515.]])
LENS = dict(PINHOLE, k=[-0.207, 0.248, -0.003], p=[-0.0014, -0.00098])


@pytest.mark.parametrize('camera', [PINHOLE, LENS], ids=['pinhole', 'lens'])
def test_it_projects_as_mmpose_does(camera):
    points = np.random.default_rng(0).uniform(
        (-1500, -1500, 4000), (1500, 1500, 6000), (2, 17, 3))
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


def test_parameters_are_flat_and_in_opencvs_order():
    camera = camera_parameters(dict(LENS, s=[1, 2, 3, 4], R=np.eye(3), w=3))
    assert {key: value.shape for key, value in camera.items()} == dict(
        f=(2, ), c=(2, ), k=(3, ), p=(2, ), s=(4, ))
    assert distortion_coefficients(camera).tolist() == [
        -0.207, 0.248, -0.0014, -0.00098, -0.003, 0, 0, 0, 1, 2, 3, 4]
    assert camera_matrix(camera).tolist() == [
        [1145, 0, 512], [0, 1143, 515], [0, 0, 1]]
    assert not distortion_coefficients(camera_parameters(PINHOLE)).any()


@pytest.mark.parametrize('camera, message', [
    (dict(c=[1, 1]), "has no 'f'"),
    (dict(K=np.eye(3)), "has no 'f' and no 'c'"),
    (dict(f=None, c=[1, 1]), "has no 'f'"),
    (dict(f=1145., c=[1, 1]), "'f' must be 2 finite numbers"),
    (dict(f=[0, 1], c=[1, 1]), "'f' must be above 0"),
    (dict(f=[1, 1], c=[1, np.nan]), "'c' must be 2 finite numbers"),
    (dict(f=[1, 1], c=[1, 1], k=[1, 2]), "'k' must be 3 finite numbers")])
def test_parameters_that_are_missing_or_malformed(camera, message):
    with pytest.raises(ValueError, match=message):
        camera_parameters(camera)


# wider than Human3.6M's
WIDE = dict(f=[1145., 1143.], c=[512., 515.])
WIDE_LENS = dict(k=[-0.207, 0.248, -0.003], p=[-0.0014, -0.00098],
                 s=[0.002, 0., 0.001, 0.])


@pytest.mark.parametrize('lens', [{}, WIDE_LENS], ids=['none', 'lens'])
def test_it_undoes_projection(lens):
    camera = camera_parameters(WIDE | lens)
    rng = np.random.default_rng(0)
    places = rng.uniform((-1500, -1500, 4000), (1500, 1500, 6000), (2, 17, 3))
    np.testing.assert_allclose(
        back_project(project(places, camera), places[..., 2], camera), places,
        atol=0.05)


def test_the_axis_is_ahead():
    place = back_project(np.array([10., 20.]), np.array(3.),
                         dict(f=[5., 5.], c=[10., 10.]))
    np.testing.assert_allclose(place, [0, 6, 3])


def test_a_camera_without_focal_length_is_refused():
    with pytest.raises(ValueError, match="no 'f'"):
        back_project(np.zeros(2), np.ones(()), dict(c=[1., 2.]))
