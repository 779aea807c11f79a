import numpy as np
import pytest

from mmpose_wloss.structures import back_project
from mmpose_wloss.structures.projection import camera_parameters, project

# wider than Human3.6M's
CAMERA = dict(f=[1145., 1143.], c=[512., 515.])
LENS = dict(k=[-0.207, 0.248, -0.003], p=[-0.0014, -0.00098],
            s=[0.002, 0., 0.001, 0.])


@pytest.mark.parametrize('lens', [{}, LENS], ids=['none', 'lens'])
def test_it_undoes_projection(lens):
    camera = camera_parameters(CAMERA | lens)
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
