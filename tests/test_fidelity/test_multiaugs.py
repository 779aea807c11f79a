"""MultiAugs: what the recipes load to, beside hnuzhy/MultiAugs."""

import pytest
from mmengine.config import Config
from mmpose.registry import MODELS
from test_fidelity.test_semi_supervised import (
    ALL_OF_COCO,
    COCO,
    CONFIGS,
    SUBSET,
    TORCHVISION,
    UNLABELED2017,
    check_what_recipes_share,
    facts,
)

AFFINE = dict(type='HardAffine', shared=True)
CUT, OCCLUDE = dict(type='JointCutout'), dict(type='JointCutOcclude')
# JO+CO, JC+CM, JC, JO, each before the one affine of all
FOUR = [[OCCLUDE, dict(type='Cutout'), AFFINE],
        [CUT, dict(type='CutMix'), AFFINE], [CUT, AFFINE], [OCCLUDE, AFFINE]]
FOUR_DUAL = [FOUR[0], [CUT, dict(type='CutMix', num_patches=5), AFFINE], *FOUR[2:]]
HRNET = ('https://download.openmmlab.com/mmpose/pretrain_models/'
         'hrnet_w32-36af842e.pth')
# as the table of PoseDual's, with the values that the README's commands change
RECIPES = {
    **{f'multiaugs_{kind}_res18_coco{count}k': (
        networks, schedule, ((192, 256), 2), (TORCHVISION.format(18), networks == 2),
        SUBSET.format(1000 * count), ALL_OF_COCO, hard_views)
       for kind, networks, hard_views in (
           ('posecons', 1, FOUR), ('posedual', 2, FOUR_DUAL))
       for count, schedule in (
           (1, (30, [20, 25], 32)), (5, (100, [70, 90], 32)),
           (10, (100, [70, 90], 32)))},
    'multiaugs_posecons_res50_coco_unlabeled': (
        1, (400, [300, 350], 64), ((192, 256), 2), (TORCHVISION.format(50), False),
        COCO, UNLABELED2017, FOUR[:2]),
    'multiaugs_posedual_res50_coco_unlabeled': (
        2, (400, [300, 350], 32), ((192, 256), 2), (TORCHVISION.format(50), False),
        COCO, UNLABELED2017, FOUR_DUAL[:2]),
    'multiaugs_posedual_hrnetw32_mpii_aic': (
        2, (300, [220, 260], 16), ((256, 256), 3), (HRNET, False),
        'annotations/mpii_train.json', ('annotations/aic_train.json', None, None),
        FOUR_DUAL[:2]),
}


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_is_the_originals(name):
    assert facts(name) == RECIPES[name]
    check_what_recipes_share(Config.fromfile(CONFIGS / f'{name}.py'))


def test_boxes_are_as_many_as_the_originals():
    """MASK_HOLES_NUM_CO, MASK_HOLES_NUM_CM and KP_CutMix_JOINT_NUM."""
    assert [MODELS.build(dict(type=kind)).count for kind in (
        'Cutout', 'CutMix', 'JointCutOcclude')] == [5, 2, 2]
