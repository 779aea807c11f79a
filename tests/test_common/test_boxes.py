from mmpose_wloss.common.boxes import check_boxes
from mmpose_wloss.common.errors import UserError

import numpy as np
import pytest


def test_boxes_get_a_score_where_they_have_none():
    assert check_boxes([[1, 2, 3, 4]], 'a.jpg').tolist() == [[1, 2, 3, 4, 1]]
    scored = check_boxes([[1, 2, 3, 4, .5]], 'a.jpg')
    assert scored.tolist() == [[1, 2, 3, 4, .5]]
    assert scored.dtype == np.float32
    assert check_boxes([], 'a.jpg').shape == (0, 5)


@pytest.mark.parametrize('boxes', [
    5, 'whole', [1, 2, 3, 4], [[1, 2, 3]], [[10, 10, 5, 20]],
    [[1, 2, 3, np.nan]], [[1, 2, 3, 4], [1, 2]]])
def test_anything_else_is_refused(boxes):
    with pytest.raises(UserError, match='a.jpg'):
        check_boxes(boxes, 'a.jpg')
