from pathlib import Path

from mmpose_wloss.models.hard_views import HardView
from mmpose_wloss.models.hard_views.hard_affine import affine_about_center
from mmpose_wloss.models.hard_views.hard_view import (
    compose,
    invert,
    move,
    rescale,
    warp,
)
from mmpose_wloss.models.hard_views.rand_augment import OPERATIONS

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

DATA = Path(__file__).parents[2] / 'data' / 'hard_affine.npz'
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
WIDTH, HEIGHT = 72, 96
BOXES = dict(half_size=(4, 8))
STEPS = {
    'affine': dict(type='HardAffine'),
    'sheared affine': dict(type='HardAffine', rigid=False),
    'joint cutout': dict(type='JointCutout', **BOXES),
    'joint cut-occlude': dict(type='JointCutOcclude', **BOXES),
    'cutout': dict(type='Cutout', **BOXES),
    'CutMix': dict(type='CutMix', **BOXES),
    'keypoint mask': dict(type='KeypointMask', **BOXES),
    'Keypoint-Mix': dict(type='KeypointMix', **BOXES),
    'RandAugment': dict(type='RandAugment', num_ops=3),
}


def easy_view(students=2, batch=3, keypoints=5, seed=0, rgb=True):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (batch, 3, HEIGHT, WIDTH),
                           generator=generator).float()
    joints = torch.rand(students, batch, keypoints, 2, generator=generator)
    return HardView(
        image=(pixels - MEAN) / STD, mean=MEAN, std=STD, rgb=rgb,
        scores=torch.rand(students, batch, keypoints, generator=generator),
        joints=joints * torch.tensor([WIDTH - 1., HEIGHT - 1.]))


@pytest.mark.parametrize('config', STEPS.values(), ids=STEPS)
def test_a_step(config):
    """It leaves the easy view as it is, and follows from the seed."""
    step, images = MODELS.build(config), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        view = easy_view()
        hard = step(view)
        images.append(hard.image)
        for name in ('image', 'joints', 'matrix'):
            assert torch.equal(getattr(view, name), getattr(easy_view(), name))
        # students share what does not depend on their joints
        assert hard.students == (2 if step.uses_joints else 1)
        for student in range(2):
            changed, _ = hard.of_student(student)
            assert changed.shape == view.image.shape
            assert changed.dtype == view.image.dtype
            assert boxes_of(changed, view.image).flatten(1).any(1).all()
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert step(easy_view(batch=1)).image.isfinite().all()
    # RandAugment cuts each student's own image elsewhere
    if config['type'] != 'RandAugment':
        hard = step(easy_view().for_each_student())
        assert torch.equal(hard.of_student(0)[0], hard.of_student(1)[0]
                           ) != step.uses_joints


@pytest.mark.parametrize('order', [1, -1])
def test_steps_compose(order):
    """All of them, from first to last and back."""
    view, sheared = easy_view(), False
    for name, config in list(STEPS.items())[::order]:
        view = MODELS.build(config)(view)
        sheared |= name == 'sheared affine'
        assert view.image.isfinite().all()
        assert view.half_pixels == sheared


def test_the_affine_is_that_of_the_original_code():
    data = {name: torch.from_numpy(array).float()
            for name, array in np.load(DATA).items()}
    matrix = affine_about_center(data['angle'], data['scale'], (192, 256),
                                 rigid=False)
    image = warp(data['image'].expand(len(matrix), -1, -1, -1), matrix)
    # the reference image is stored in float16
    assert (image - data['warped_image']).abs().max() < 1e-3
    heatmap = warp(data['heatmap'], rescale(matrix, (4, 4), (1.5, 1.5)))
    assert (heatmap - data['warped_heatmap']).abs().max() < 1e-5


def test_the_default_turns_rigidly_and_the_original_code_shears():
    angle, scale = torch.tensor([30.]), torch.tensor([1.])
    rigid, sheared = (affine_about_center(angle, scale, (192, 256), rigid)
                      for rigid in (True, False))
    for matrix, expected in ((rigid, True), (sheared, False)):
        product = matrix[0, :, :2] @ matrix[0, :, :2].mT
        assert torch.allclose(product, torch.eye(2), atol=1e-6) == expected
        center = torch.tensor([[[95.5, 127.5]]])
        assert torch.allclose(move(center, matrix), center, atol=1e-4)


def test_angles_and_scales_are_drawn_as_said():
    step = MODELS.build(dict(type='HardAffine'))
    angle, scale = step.draw(20000)
    assert (angle == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert angle.abs().max() == 60 and scale.min() == 0.75 and scale.max() == 1.25
    turned = angle[angle != 0]
    assert turned.std().item() == pytest.approx(29, abs=1)


def test_paths_share_a_move_within_a_batch():
    step = MODELS.build(dict(type='HardAffine', shared=True))
    views = [easy_view(), easy_view()]
    first, second, other = (step(views[i]).matrix for i in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    apart = MODELS.build(dict(type='HardAffine'))
    assert not torch.equal(apart(views[0]).matrix, first)


def test_maps_of_pixels():
    torch.manual_seed(0)
    first, second = torch.eye(2, 3) + 0.2 * torch.randn(2, 4, 2, 3)
    points = torch.randn(4, 6, 2)
    scale, offset = torch.tensor([2., 4.]), torch.tensor([.5, 1.5])
    for found, expected in (
            (move(points, compose(first, second)),
             move(move(points, second), first)),
            (move(move(points, first), invert(first)), points),
            (move((points - offset) / scale,
                  rescale(first, scale.tolist(), offset.tolist())),
             (move(points, first) - offset) / scale)):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_autocast_does_not_move_pixels():
    """Matrix products in half precision would, by up to two pixels."""
    steps = [MODELS.build(STEPS[name]) for name in ('affine', 'joint cutout')]
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            view = easy_view()
            for step in (*steps, steps[0]):
                view = step(view)
            heatmap = warp(view.image, rescale(view.matrix, (4, 4), (0, 0)))
            results.append((view.image, view.matrix, view.moved_joints(),
                            invert(view.matrix), heatmap))
    for exact, other in zip(*results, strict=True):
        assert torch.equal(exact, other)


def test_images_and_joints_are_moved_together():
    """A bright spot at a joint is found at the moved joint."""
    torch.manual_seed(3)
    view = easy_view(students=1, batch=4, keypoints=1)
    joints = torch.randint(30, 42, view.joints.shape).float()
    x, y = torch.arange(WIDTH), torch.arange(HEIGHT)
    spot = torch.exp(-((x - joints[0, :, :, None, :1])**2 +
                       (y[:, None] - joints[0, :, :, None, 1:])**2) / 8)
    view = view.replace(image=spot.expand(-1, 3, -1, -1), joints=joints)
    for rigid in (True, False):
        step = MODELS.build(dict(type='HardAffine', rigid=rigid))
        hard = step(step(view))
        place = hard.image[:, 0].flatten(1).argmax(1)
        found = torch.stack([place % WIDTH, place // WIDTH], 1)
        assert (hard.moved_joints()[:, 0] - found).abs().max() <= 1


def boxes_of(image, background):
    """Which pixels of the images changed, in shape [B, H, W]."""
    return (image != background).any(dim=1)


def one_box(kind, half_size):
    """A step that hides one box of one size around a joint."""
    return MODELS.build(dict(type=kind, num_joints=1, jitter=0.,
                             half_size=(half_size, half_size)))


def test_joint_cutout_hides_joints_in_the_views_own_size():
    """The crop is higher than wide: joints far down are hidden too."""
    view = easy_view(students=1, keypoints=1).replace(
        joints=torch.tensor([WIDTH - 2., HEIGHT - 2.]).expand(1, 3, 1, 2))
    image = one_box('JointCutout', 5)(view).image
    assert boxes_of(image, view.image).sum() == 3 * 7 * 7
    assert (image[:, :, HEIGHT - 7:, WIDTH - 7:] == 0).all()


def test_box_sizes_are_drawn_as_said():
    torch.manual_seed(0)
    view = easy_view(students=1, batch=64, keypoints=1)
    view = view.replace(joints=torch.full((1, 64, 1, 2), 36.))
    step = MODELS.build(dict(type='JointCutout', num_joints=1, jitter=0., **BOXES))
    changed = boxes_of(step(view).image, view.image)
    for sides in (changed.any(1).sum(1), changed.any(2).sum(1)):
        assert set(sides.tolist()) == {8, 10, 12, 14, 16}


@pytest.mark.parametrize('config', [
    dict(type='Cutout', num_holes=1), dict(type='CutMix', num_patches=1),
    dict(type='JointCutout', num_joints=1), dict(type='JointCutOcclude', num_joints=1)])
def test_boxes_scale_with_the_height(config):
    """10 to 19 pixels of 256, and here as much of twice the height."""
    torch.manual_seed(0)
    size = 512
    pixels = torch.rand(32, 3, size, size)
    joints = torch.full((1, 32, 1, 2), size / 2)
    view = HardView(pixels, joints, MEAN, STD)
    changed = boxes_of(MODELS.build(config)(view).image, pixels)
    sides = torch.cat([changed.any(1).sum(1), changed.any(2).sum(1)])
    assert sides.max() == 4 * 19
    # those at a border are cut, and those from beyond another image's
    assert sides.median() == pytest.approx(4 * 14.5, abs=6)


def test_each_student_is_hidden_what_its_own_teacher_sees():
    view = easy_view(batch=1, keypoints=1).replace(
        joints=torch.tensor([[[[15., 20.]]], [[[60., 70.]]]]))
    hard = one_box('JointCutout', 3)(view)
    for student, (x, y) in enumerate(((15, 20), (60, 70))):
        changed = boxes_of(hard.of_student(student)[0], view.image)
        assert changed[0, y - 3:y + 3, x - 3:x + 3].all()
        assert changed.sum() == 36


def test_joint_cut_occlude_pastes_another_images_joint():
    view = easy_view(students=1, batch=2, keypoints=1)
    step = one_box('JointCutOcclude', 6)
    joints = torch.tensor([[[[20., 30.]], [[50., 60.]]]])
    image = step(view.replace(joints=joints)).image
    first = ..., slice(24, 36), slice(14, 26)
    second = ..., slice(54, 66), slice(44, 56)
    for index, here, there in ((0, first, second), (1, second, first)):
        assert torch.equal(image[index][here], view.image[1 - index][there])
    # beyond the other image's border there is nothing to paste
    joints = torch.tensor([[[[20., 30.]], [[2., 60.]]]])
    image = step(view.replace(joints=joints)).image
    assert torch.equal(image[0, :, 24:36, 14:18], view.image[0, :, 24:36, 14:18])
    assert torch.equal(image[0, :, 24:36, 18:26], view.image[1, :, 54:66, 0:8])


def test_a_keypoint_mix_without_shade_is_joint_cut_occlude():
    images = []
    for kind, options in (('JointCutOcclude', {}),
                          *(('KeypointMix', dict(opacity=(x, x))) for x in (0, .5, 1))):
        torch.manual_seed(0)
        step = MODELS.build(dict(type=kind, num_joints=1, **BOXES, **options))
        images.append(step(easy_view()).image)
    pasted, nothing, half, whole = images
    easy = easy_view().for_each_student().image
    assert torch.equal(whole, pasted) and torch.equal(nothing, easy)
    assert torch.allclose(half, (easy + pasted) / 2, atol=1e-5)


def test_opacities_are_drawn_as_said():
    torch.manual_seed(0)
    step = MODELS.build(dict(type='KeypointMix', opacity=(.2, .6)))
    zeros = torch.zeros(2000, 3, 2, 2)
    opacity = step.paste(zeros + 1, zeros)
    # one for each box of each image
    assert (opacity == opacity[:, :1, :1, :1]).all()
    assert opacity.min() >= .2 and opacity.max() <= .6
    assert opacity.mean().item() == pytest.approx(.4, abs=.02)


def test_a_keypoint_mask_hides_easy_joints():
    """Those that stand out, each at most once, as many as there are."""
    torch.manual_seed(0)
    step = MODELS.build(dict(type='KeypointMask', num_joints=3, threshold=.5))
    scores = torch.tensor([
        [.9, .8, .7, .1, .2],  # the easy ones, all three
        [.9, .8, .7, .6, .1],  # three of four
        [.9, .1, .1, .1, .1],  # the only one
        [.09, .08, .07, .0, .0],  # extremely difficult: one of them
        [.5, .5, .5, .5, .5],
    ])
    seen = [set() for _ in scores]
    for _ in range(50):
        which, hidden = step.choose(scores)
        assert which.shape == hidden.shape == (5, 3)
        assert hidden.sum(1).tolist() == [3, 3, 1, 1, 3]
        for joints, chosen, all_of_them in zip(which, hidden, seen, strict=True):
            assert len(joints.unique()) == 3
            all_of_them |= set(joints[chosen].tolist())
    assert seen == [{0, 1, 2}, {0, 1, 2, 3}, {0}, {0, 1, 2}, {0, 1, 2, 3, 4}]
    # of nobody as of half precision
    assert step.choose(torch.zeros(2, 2))[1].tolist() == [[True, False]] * 2
    assert step.choose(scores.bfloat16())[1].sum(1).tolist() == [3, 3, 1, 1, 3]


def test_each_student_has_the_mask_of_its_own_teachers_scores():
    view = easy_view(batch=1, keypoints=2).replace(
        joints=torch.tensor([[[15., 20.], [60., 70.]]]).expand(2, 1, 2, 2),
        scores=torch.tensor([[[.9, .2]], [[.2, .9]]]))
    step = MODELS.build(dict(type='KeypointMask', jitter=0., half_size=(3, 3)))
    hard = step(view)
    for student, (x, y) in enumerate(((15, 20), (60, 70))):
        changed = boxes_of(hard.of_student(student)[0], view.image)
        assert changed[0, y - 3:y + 3, x - 3:x + 3].all()
        assert changed.sum() == 36


def test_cut_mix_pastes_the_same_place_of_another_image():
    torch.manual_seed(0)
    view = easy_view(students=1, batch=4)
    image = MODELS.build(dict(type='CutMix', **BOXES))(view).image
    changed = boxes_of(image, view.image)
    assert changed.flatten(1).any(1).all()
    donors = torch.tensor([
        [torch.equal(image[i][:, changed[i]], view.image[j][:, changed[i]])
         for j in range(4)] for i in range(4)])
    assert (donors.sum(1) == 1).all() and not donors.diagonal().any()


def test_rand_augment_without_strength_changes_rounding_only():
    step = MODELS.build(dict(
        type='RandAugment', magnitude=0,
        operations=['color', 'contrast', 'brightness', 'sharpness']))
    view = easy_view()
    assert torch.allclose(step(view).image, view.image, atol=1 / 57)


@pytest.mark.parametrize('name', OPERATIONS)
def test_each_operation_takes_many_images_at_once(name):
    pixels = torch.randint(256, (4, 3, 20, 16), dtype=torch.uint8)
    together = OPERATIONS[name](pixels, 0.5)
    assert together.dtype == torch.uint8 and together.shape == pixels.shape
    apart = [OPERATIONS[name](image[None], 0.5) for image in pixels]
    assert torch.equal(together, torch.cat(apart))


def test_rand_augment_cuts_squares_of_the_size_asked_for():
    torch.manual_seed(0)
    view = easy_view(batch=16)
    step = MODELS.build(dict(
        type='RandAugment', num_ops=1, magnitude=15, operations=['cutout'],
        cutout_side=20.))
    changed = boxes_of(step(view).image, ((view.image * STD + MEAN).round() -
                                          MEAN) / STD).flatten(1).sum(1)
    assert changed.max() == 100 and changed.min() >= 25
    # 80 pixels of 256, half of it at half of the strength
    step = MODELS.build(dict(
        type='RandAugment', num_ops=1, magnitude=15, operations=['cutout']))
    changed = boxes_of(step(view).image, ((view.image * STD + MEAN).round() -
                                          MEAN) / STD).flatten(1).sum(1)
    assert changed.max() == (40 * HEIGHT // 256)**2


def test_colors_are_those_of_the_channel_order():
    rgb, bgr = easy_view(rgb=True), easy_view(rgb=False)
    bgr = bgr.replace(
        image=rgb.image.flip(1), mean=MEAN.flip(0), std=STD.flip(0))
    step = MODELS.build(dict(type='RandAugment', operations=['color']))
    results = []
    for view in (rgb, bgr):
        torch.manual_seed(0)
        results.append(step(view).image)
    assert torch.allclose(results[0], results[1].flip(1), atol=1e-6)


@pytest.mark.parametrize('kind, name, value', [
    ('HardAffine', 'scale_factor', 1.), ('HardAffine', 'rotate_factor', -1.),
    ('HardAffine', 'rotate_prob', 2.), ('JointCutout', 'num_joints', 0),
    ('JointCutout', 'jitter', -1.), ('JointCutout', 'jitter', 'Auto'),
    ('Cutout', 'half_size', (3.5, 6.2)), ('Cutout', 'half_size', (9, 3)),
    ('Cutout', 'half_size', 'automatic'),
    ('CutMix', 'half_size', (0, 3)), ('JointCutOcclude', 'num_joints', 0),
    ('KeypointMask', 'threshold', 1.1), ('KeypointMask', 'min_score', -1.),
    ('KeypointMix', 'opacity', (.5, 1.5)), ('KeypointMix', 'opacity', .5),
    ('RandAugment', 'magnitude', 31), ('RandAugment', 'num_ops', 0),
    ('RandAugment', 'cutout_side', 0.), ('RandAugment', 'operations', ['rotate']),
    ('RandAugment', 'operations', [])])
def test_wrong_arguments(kind, name, value):
    with pytest.raises(ValueError, match=name):
        MODELS.build({'type': kind, name: value})
