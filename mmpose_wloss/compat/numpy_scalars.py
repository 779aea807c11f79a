"""Arrays of one number as numbers, which NumPy 2.4 no longer takes them for.

mmpose (up to 1.3.2) gives the radius of keypoints to OpenCV as such an array,
so that nothing can be drawn. It can go when mmpose gives a number.
"""

import functools

import numpy as np


def let_keypoints_be_drawn() -> None:
    """Mend mmpose's drawing, where NumPy no longer takes one for the other."""
    try:
        int(np.ones(1))
    except TypeError:
        _take_numbers()


def _take_numbers() -> None:
    from mmpose.visualization.opencv_backend_visualizer import (
        OpencvBackendVisualizer,
    )

    draw_circles = OpencvBackendVisualizer.draw_circles

    @functools.wraps(draw_circles)
    def draw(self, center, radius, *args, **kwargs):
        if self.backend == 'opencv':
            radius = np.asarray(radius).item()
        return draw_circles(self, center, radius, *args, **kwargs)

    OpencvBackendVisualizer.draw_circles = draw
