"""What a student sees and predicts, as its teacher sees and predicts it."""

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.distillers.fast_pose_distiller import simcc_label
from mmpose_wloss.models.distillers.input_mapping import InputMapping
from mmpose_wloss.models.distillers.target_mapping import (
    TargetMapping,
    joint_sources,
)
from mmpose_wloss.models.heads.keypoint_outputs import keypoint_outputs

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from small_networks import KEYPOINTS, NETWORKS, distiller

SIZE = (48, 64)
# joints in pixels of an input of that size
JOINTS = np.array([[[10., 12.], [24., 33.], [34., 44.], [14., 46.], [30., 20.]]],
                  np.float32)
MSRA = dict(type='MSRAHeatmap', sigma=2., unbiased=True)


def head(codec, size=SIZE, heatmap_size=None, joints=KEYPOINTS, beta=1.):
    """As much of a head as a mapping looks at."""
    init_default_scope('mmpose')
    codec = dict(codec, input_size=size)
    if heatmap_size is not None:
        codec['heatmap_size'] = heatmap_size
    built = torch.nn.Module()
    built.decoder = KEYPOINT_CODECS.build(codec)
    built.out_channels = built.num_joints = joints
    built.loss_module = torch.nn.Module()
    built.loss_module.beta = beta
    return built


def heatmaps_of(codec, joints=JOINTS):
    encoded = codec.encode(joints, np.ones(joints.shape[:2], np.float32))
    return torch.from_numpy(encoded['heatmaps'])[None]


def mapping(student, teacher, **arguments):
    return TargetMapping(keypoint_outputs(student), keypoint_outputs(teacher),
                         **arguments)


def centroids(heatmaps):
    """Mean places of heatmaps, in their pixels."""
    mass = heatmaps.sum(dim=(2, 3))
    height, width = heatmaps.shape[2:]
    return ((heatmaps.sum(dim=2) * torch.arange(width)).sum(dim=2) / mass,
            (heatmaps.sum(dim=3) * torch.arange(height)).sum(dim=2) / mass)


UDP = dict(type='UDPHeatmap', sigma=2.)
COORDINATES = dict(type='RegressionLabel')
OFFSETS = dict(UDP, heatmap_type='combined', radius_factor=0.2)


@pytest.mark.parametrize('codec, size, heatmap_size, own, limit', [
    (dict(MSRA, sigma=4.), SIZE, (24, 32), MSRA, 0.06),
    # a narrow peak loses some of its height
    (dict(MSRA, sigma=1.), SIZE, (6, 8), MSRA, 0.3),
    (MSRA, (96, 128), (24, 32), dict(MSRA, sigma=1.), 0.06),
    (UDP, SIZE, (12, 16), MSRA, 0.06),
    # MSRA's last pixel lies further inside than UDP's
    (MSRA, SIZE, (12, 16), UDP, 0.15),
], ids=['larger heatmaps', 'smaller heatmaps', 'larger images', 'UDP for MSRA',
        'MSRA for UDP'])
def test_heatmaps_of_another_size(codec, size, heatmap_size, own, limit):
    """Resized, a teacher's truth is the student's truth."""
    teacher = head(codec, size, heatmap_size)
    student = head(own, SIZE, (12, 16))
    # the same place in an image of another size, first pixel on first
    joints = JOINTS * (np.array(size) - 1) / (np.array(SIZE) - 1)
    seen = heatmaps_of(teacher.decoder, joints.astype(np.float32))
    made = mapping(student, teacher)(seen)
    truth = heatmaps_of(student.decoder)
    assert made.shape == truth.shape
    assert (made - truth).abs().max() < limit
    for one, other in zip(centroids(made), centroids(truth), strict=True):
        assert (one - other).abs().max() < 0.2


@pytest.mark.parametrize('names', [
    ('HourglassHeatmap', 'MSRAHeatmap'), ('MSRAHeatmap', 'HourglassHeatmap')])
def test_a_peak_is_read_in_the_same_place_by_either_convention(names):
    """A student taught by heatmaps of the other codec reads no bias in them."""
    teacher, student = (head(dict(type=name, sigma=1.), (96, 128), (24, 32))
                        for name in names)
    rng, errors = np.random.default_rng(0), []
    for _ in range(100):
        joints = rng.uniform(24, 72, (1, KEYPOINTS, 2))
        seen = heatmaps_of(teacher.decoder, joints)
        made = mapping(student, teacher)(seen)
        x, y = centroids(made)
        shift = 0.5 if names[1] == 'HourglassHeatmap' else 0.
        places = 4 * (torch.stack([x, y], -1) + shift)
        errors.append(places[0].numpy() - joints[0])
    # taken as they are, they would be read 2 px aside
    assert np.abs(np.mean(errors, (0, 1))).max() < 0.15


@pytest.mark.parametrize('student', [
    COORDINATES, dict(type='CenteredRegressionLabel'), OFFSETS])
def test_joints_of_a_teacher_are_written_as_the_students_codec_does(student):
    """Of larger images, and with joints in another order."""
    teacher = head(OFFSETS, (96, 128), (24, 32))
    student = head(student, SIZE, (12, 16) if 'Heatmap' in student['type'] else None)
    student.num_joints, student.out_channels = KEYPOINTS, 3 * KEYPOINTS
    teacher.out_channels = 3 * KEYPOINTS
    joints = JOINTS * (np.array((96, 128)) - 1) / (np.array(SIZE) - 1)
    order = [2, 0, 1, 4, 3]
    made = mapping(student, teacher, keypoint_mapping=[
        (there, here) for here, there in enumerate(order)])
    given = made(heatmaps_of(teacher.decoder, joints.astype(np.float32)))
    encoded = student.decoder.encode(JOINTS[:, order], np.ones((1, KEYPOINTS)))
    expected = torch.from_numpy(
        encoded['heatmaps'][None] if 'heatmaps' in encoded else
        encoded['keypoint_labels']).float()
    torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)


def test_what_is_the_same_passes_as_it_is():
    same = mapping(*(head(MSRA, heatmap_size=(12, 16)) for _ in range(2)))
    values = torch.randn(2, KEYPOINTS, 16, 12)
    assert torch.equal(same(values), values)
    ours, theirs = (preprocessor(mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True)
                    for _ in range(2))
    images = torch.rand(2, 3, 64, 48)
    assert InputMapping(ours, theirs, SIZE, SIZE)(images) is images


def test_simcc_of_another_size():
    simcc = dict(type='SimCCLabel', sigma=3., normalize=True)
    teacher = head(dict(simcc, simcc_split_ratio=2.), beta=1.)
    student = head(dict(simcc, simcc_split_ratio=1.))
    truth = teacher.decoder.encode(JOINTS, np.ones((1, KEYPOINTS), np.float32))
    logits = tuple(torch.from_numpy(truth[f'keypoint_{axis}_labels']).clamp(
        min=1e-9).log() for axis in 'xy')
    made = mapping(student, teacher)(logits)
    assert [part.shape[2] for part in made] == list(SIZE)
    for axis, part in enumerate(made):
        assert torch.allclose(part.sum(dim=2), torch.ones(1, KEYPOINTS))
        mean = (part * torch.arange(part.shape[2])).sum(dim=2)
        assert torch.allclose(
            mean, torch.from_numpy(JOINTS[..., axis]), atol=0.3)


@pytest.mark.parametrize('label_softmax', [False, True])
def test_simcc_is_taught_what_its_teacher_predicts(label_softmax):
    """The loss is least where the student predicts the same."""
    loss = MODELS.build(dict(
        type='KLDiscretLoss', beta=10., label_softmax=label_softmax))
    torch.manual_seed(0)
    logits = torch.randn(1, KEYPOINTS, 48)
    target = simcc_label((10. * logits).softmax(dim=2), loss)

    def value(output):
        return loss((output, output), (target, target),
                    torch.ones(1, KEYPOINTS))

    best = value(logits)
    if label_softmax:
        assert best == pytest.approx(0, abs=1e-5)
    for _ in range(5):
        assert value(logits + 0.01 * torch.randn_like(logits)) > best


@pytest.mark.parametrize('codec', [
    MSRA, UDP, dict(type='MegviiHeatmap', kernel_size=5)], ids=lambda x: x['type'])
@pytest.mark.parametrize('normalize', [False, True])
def test_heatmaps_for_simcc_are_its_own_labels(codec, normalize):
    megvii = codec['type'] == 'MegviiHeatmap'
    teacher = head(codec, heatmap_size=(12, 16))
    student = head(dict(type='SimCCLabel', sigma=4., simcc_split_ratio=2.,
                        normalize=normalize))
    truth = student.decoder.encode(JOINTS, np.ones((1, KEYPOINTS), np.float32))
    noise = 0.003 * (255 if megvii else 1)
    seen = heatmaps_of(teacher.decoder)
    made = mapping(student, teacher)(seen + noise * torch.rand_like(seen))
    for axis, part in zip('xy', made, strict=True):
        label = torch.from_numpy(truth[f'keypoint_{axis}_labels'])
        assert part.shape == label.shape
        # Megvii's are cut to whole pixels
        limit, bins = (0.8, 4) if megvii else (0.1, 2)
        assert (part - label).abs().max() < limit * label.max()
        assert (part.argmax(2) - label.argmax(2)).abs().max() <= bins


def test_a_label_is_as_high_as_the_teacher_is_sure():
    teacher = head(MSRA, heatmap_size=(12, 16))
    student = head(dict(type='SimCCLabel', sigma=4., simcc_split_ratio=2.,
                        normalize=False))
    seen = heatmaps_of(teacher.decoder)
    map_to = mapping(student, teacher)
    for factor, peak in ((0.3, 0.3), (1., 1.), (1.4, 1.), (0., 0.)):
        for part in map_to(factor * seen / seen.amax()):
            assert part.amax() == pytest.approx(peak, abs=1e-4)


@pytest.mark.parametrize('own', [
    dict(type='UDPHeatmap', sigma=2., heatmap_size=(12, 16)),
    dict(type='SimCCLabel', sigma=4., simcc_split_ratio=2.)])
def test_autocast_and_other_types(own):
    """Resampling is not left to half precision, and follows the input."""
    own = dict(own)
    student = head(own, heatmap_size=own.pop('heatmap_size', None))
    map_to = mapping(student, head(MSRA, heatmap_size=(12, 16)))
    values = torch.rand(2, KEYPOINTS, 16, 12)

    def made(values):
        found = map_to(values)
        return found if isinstance(found, tuple) else (found, )

    exact = made(values)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        for one, other in zip(made(values), exact, strict=True):
            assert torch.equal(one, other)
    for one, other in zip(made(values.double()), exact, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one.float(), other)
    map_to.double()
    for one, other in zip(made(values), exact, strict=True):
        torch.testing.assert_close(one, other)


def test_joints_are_mapped():
    teacher = head(MSRA, heatmap_size=(12, 16), joints=7)
    student = head(MSRA, heatmap_size=(12, 16), joints=4)
    values = torch.randn(2, 7, 16, 12)
    made = mapping(student, teacher, keypoint_mapping=[(6, 0), (2, 3), (0, 1)])
    assert torch.equal(made(values)[:, [0, 3, 1]], values[:, [6, 2, 0]])
    assert made.taught.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize('mapping', [
    None, [], [(1, 2, 3)], [(7, 0)], [(0, 4)], [(-1, 0)], [(0, 1), (2, 1)]])
def test_joints_that_cannot_be_mapped(mapping):
    with pytest.raises(UserError, match='keypoint_mapping'):
        joint_sources(4, 7, mapping)


@pytest.mark.parametrize('student, teacher, message', [
    (MSRA, dict(type='SimCCLabel', simcc_split_ratio=2.), 'SimCC'),
    (MSRA, COORDINATES, 'coordinates'), (MSRA, OFFSETS, 'offsets'),
    (dict(type='SimCCLabel', simcc_split_ratio=2.), COORDINATES, 'coordinates'),
    (MSRA, dict(type='MegviiHeatmap', kernel_size=5), 'MegviiHeatmap'),
    (dict(type='MegviiHeatmap', kernel_size=5), MSRA, 'MegviiHeatmap'),
])
def test_codecs_that_do_not_fit(student, teacher, message):
    heads = [head(codec, heatmap_size=(12, 16) if 'Heatmap' in codec['type']
                  else None) for codec in (student, teacher)]
    with pytest.raises(UserError, match=message):
        mapping(*heads)


def preprocessor(**arguments):
    init_default_scope('mmpose')
    return MODELS.build(dict(type='PoseDataPreprocessor', **arguments))


@pytest.mark.parametrize('ours', [
    dict(mean=[120., 110., 100.], std=[60., 50., 40.], bgr_to_rgb=True),
    dict(mean=[100.], std=[50.]), dict(), dict(bgr_to_rgb=True)])
@pytest.mark.parametrize('theirs', [
    dict(mean=[110., 120., 130.], std=[255., 255., 255.], bgr_to_rgb=True),
    dict(mean=[1., 2., 3.], std=[4., 5., 6.]), dict()])
def test_images_as_the_teacher_is_used_to(ours, theirs):
    """They are what the teacher's own preprocessor makes of the files."""
    ours, theirs = preprocessor(**ours), preprocessor(**theirs)
    files = [torch.randint(0, 256, (3, 64, 48), dtype=torch.uint8)
             for _ in range(2)]

    def images(through):
        data = dict(inputs=list(files),
                    data_samples=[PoseDataSample(), PoseDataSample()])
        return torch.stack(list(through(data, False)['inputs'])).float()

    made = InputMapping(ours, theirs, SIZE, SIZE)(images(ours))
    torch.testing.assert_close(made, images(theirs), atol=1e-3, rtol=1e-4)


def test_images_of_another_size():
    ramp = torch.linspace(0, 1, 48).expand(1, 3, 64, 48)
    made = InputMapping(preprocessor(), preprocessor(), SIZE, (96, 128))(ramp)
    assert made.shape == (1, 3, 128, 96)
    torch.testing.assert_close(
        made, torch.linspace(0, 1, 96).expand(1, 3, 128, 96))
    with pytest.raises(UserError, match=r'input_size is \(48, 48\)'):
        InputMapping(preprocessor(), preprocessor(), SIZE, (48, 48))


@pytest.mark.parametrize('teacher, student', [
    ('MSRA', 'SimCC'), ('UDP', 'RTMPose'), ('SimCC', 'RTMPose'),
    ('RTMPose', 'SimCC'), ('hourglass', 'HRNet'), ('HRNet', 'hourglass'),
    ('UDP', 'regression'), ('SimCC', 'RLE'), ('offsets', 'centered'),
    ('RLE', 'regression'), ('MSRA', 'offsets'), ('RLE', 'offsets')])
def test_targets_have_the_shapes_of_outputs(teacher, student, tmp_path):
    model = distiller(NETWORKS[student](), NETWORKS[teacher](), tmp_path)
    size = model.student.head.decoder.input_size
    images = torch.rand(2, 3, size[1], size[0])
    targets, output = model.teacher(images), model.student(images, None)
    if isinstance(targets, tuple):
        assert [x.shape for x in targets] == [x.shape for x in output]
    else:
        final = output[-1] if isinstance(output, list) else output
        deviations = student == 'RLE'  # which no teacher teaches
        assert targets.shape == final[..., :2 if deviations else None].shape


def test_labels_of_any_type_teach_coordinates():
    """As only their peaks count."""
    teacher = head(dict(type='HourglassHeatmap', label_type='cauchy'), SIZE, (12, 16))
    student = head(COORDINATES)
    made = mapping(student, teacher)(heatmaps_of(teacher.decoder))
    assert np.abs(made.numpy() * SIZE - JOINTS).max() < 2.5


def test_labels_of_another_type_are_refused():
    teacher, student = (
        head(dict(type='HourglassHeatmap', label_type=kind), SIZE, (12, 16))
        for kind in ('cauchy', 'gaussian'))
    with pytest.raises(UserError, match="'cauchy'"):
        mapping(student, teacher)
    assert mapping(teacher, teacher).x is None


@pytest.mark.parametrize('codec, size, maps', [
    (COORDINATES, None, 1), (OFFSETS, (48, 64), 3)])
def test_joints_of_half_precision_lie_between_pixels(codec, size, maps):
    """As a teacher's outputs are under autocast."""
    input_size = (192, 256)
    teacher = head(codec, input_size, size, joints=maps * KEYPOINTS)
    student = head(COORDINATES, input_size)
    output = torch.rand(2, KEYPOINTS, 2) if size is None else torch.rand(
        2, maps * KEYPOINTS, *size[::-1])
    made = mapping(student, teacher)(output.bfloat16()) * torch.tensor(input_size)
    expected = keypoint_outputs(teacher).joints(output.bfloat16().float())
    torch.testing.assert_close(made, expected, atol=0.01, rtol=0)
    assert (made != made.bfloat16()).any()
