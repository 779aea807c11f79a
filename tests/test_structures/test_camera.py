import numpy as np
import pytest
from mmpose.utils.camera import SimpleCamera

from mmpose_wloss.structures import back_project

# of the size of Human3.6M's
CAMERA = dict(f=np.array([[1145.], [1143.]]), c=np.array([[512.], [515.]]))
DISTORTION = dict(k=np.array([[-0.207], [0.248], [-0.003]]),
                  p=np.array([[-0.0014], [-0.00098]]))


@pytest.mark.parametrize('distortion', [{}, DISTORTION], ids=['none', 'lens'])
def test_it_undoes_mmposes_projection(distortion):
    camera = CAMERA | distortion
    rng = np.random.default_rng(0)
    places = rng.uniform((-1500, -1500, 4000), (1500, 1500, 6000), (2, 17, 3))
    pixels = SimpleCamera(dict(camera, R=np.eye(3), T=np.zeros((3, 1)))
                          ).camera_to_pixel(places)
    np.testing.assert_allclose(
        back_project(pixels, places[..., 2], camera), places, atol=0.05)


def test_the_axis_is_ahead():
    place = back_project(np.array([10., 20.]), np.array(3.),
                         dict(f=[5., 5.], c=[10., 10.]))
    np.testing.assert_allclose(place, [0, 6, 3])


def test_a_camera_without_focal_length_is_refused():
    with pytest.raises(KeyError, match='no f'):
        back_project(np.zeros(2), np.ones(()), dict(c=[1., 2.]))
