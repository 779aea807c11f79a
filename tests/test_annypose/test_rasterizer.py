import numpy as np
import pytest

from annypose.rasterizer import Fragments, vertex_normals

# Seen from outside counter-clockwise, that is in an image whose y points down
# with its corners in this order.
SQUARE = np.array([[2., 2], [2, 12], [12, 12], [12, 2]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_square_covers_its_pixels():
    fragments = Fragments.empty(16, 16)
    silhouette = fragments.draw(SQUARE, np.full(4, 5.), FACES, 0)
    expected = np.zeros((16, 16), bool)
    expected[2:13, 2:13] = True
    np.testing.assert_array_equal(silhouette, expected)
    np.testing.assert_allclose(fragments.depth[expected], 5)
    assert np.isinf(fragments.depth[~expected]).all()
    np.testing.assert_allclose(fragments.weights[expected].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_the_nearer_wins_in_any_order(order):
    fragments = Fragments.empty(16, 16)
    for number in order:
        fragments.draw(SQUARE + 2 * number, np.full(4, 5. - number), FACES, number)
    assert fragments.owner[3, 3] == 0
    assert fragments.owner[8, 8] == 1
    assert fragments.depth[8, 8] == pytest.approx(4)


def test_backs_are_not_drawn():
    fragments = Fragments.empty(16, 16)
    silhouette = fragments.draw(SQUARE, np.full(4, 5.), FACES[:, ::-1], 0)
    assert not silhouette.any()


def test_depth_is_correct_in_perspective():
    fragments = Fragments.empty(16, 16)
    fragments.draw(SQUARE, np.array([2., 2, 4, 4]), FACES, 0)
    # 1/depth is linear in the image: half way between 1/2 and 1/4.
    assert fragments.depth[7, 7] == pytest.approx(8 / 3, rel=1e-5)


def test_what_lies_outside_the_image_is_cut():
    fragments = Fragments.empty(8, 8)
    silhouette = fragments.draw(SQUARE - 6, np.full(4, 5.), FACES, 0)
    assert silhouette[:7, :7].all()
    assert not silhouette[7].any()


def test_normals_of_a_tetrahedron_point_outwards():
    vertices = np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = vertex_normals(vertices, faces)
    outwards = vertices - vertices.mean(axis=0)
    assert ((normals * outwards).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-5)
