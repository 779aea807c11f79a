"""Undistorting gives back what was projected, on OpenCV 4 and 5."""

from mmpose_wloss.compat.opencv import undistort_points

import cv2
import numpy as np


def test_undistorted_points_are_those_projected():
    rays = np.random.default_rng(0).uniform(-.4, .4, (50, 2))
    matrix = np.array([[500., 0, 300], [0, 510, 250], [0, 0, 1]])
    distortion = np.array([-.2, .1, .001, -.002, .01])
    pixels, _ = cv2.projectPoints(
        np.column_stack([rays, np.ones(50)]), np.zeros(3), np.zeros(3), matrix,
        distortion)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
    found = undistort_points(pixels, matrix, distortion, criteria)
    assert found.shape == (50, 1, 2)
    np.testing.assert_allclose(found[:, 0], rays, atol=1e-7)
