"""PoseTriple: what the recipes load to, beside hlz0606/SSPCM."""

import pytest
from mmengine.config import Config
from test_fidelity.test_semi_supervised import (
    AFFINE,
    ALL_OF_COCO,
    CONFIGS,
    SUBSET,
    TORCHVISION,
    check_what_recipes_share,
    facts,
)

# as the table of PoseDual's; keypoint_perception_cutmix_num is 2
RECIPES = {
    f'posetriple_res18_coco{count}k': (
        3, (100, [70, 90], 32), ((192, 256), 2), (TORCHVISION.format(18), True),
        SUBSET.format(1000 * count), ALL_OF_COCO,
        [dict(type='JointCutOcclude'), AFFINE]) for count in (1, 5, 10)}


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_is_the_originals(name):
    assert facts(name) == RECIPES[name]
    config = Config.fromfile(CONFIGS / f'{name}.py')
    # score_filter_thread; the figure is the third network's
    assert config.model.pop('confidence_threshold') == 0.1
    assert config.model.test_cfg == dict(predict_with='third')
    check_what_recipes_share(config)
