"""The density of poses: the source's values, missing joints, bad input."""

from pathlib import Path

from mmpose_wloss.pose_density import PoseDensity
from mmpose_wloss.pose_density.missing_joints import conditional_mean

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / 'data' / 'density_lsp.npz'
FLIP = [1, 0, 2, 4, 3]
NAMES = ['left_shoulder', 'right_shoulder', 'head', 'left_hip', 'right_hip']


def draw_poses(count, joints=5, seed=0):
    """Poses on three axes, with a little noise, in pixels."""
    draw = np.random.default_rng(seed)
    axes = draw.normal(0, 12, (3, joints, 2))
    places = draw.normal(size=(count, 3))
    mean = 100 + 30 * np.random.default_rng(9).normal(size=(joints, 2))
    return (mean + np.einsum('na,akd->nkd', places, axes) +
            draw.normal(0, 0.3, (count, joints, 2)))


@pytest.fixture(scope='module')
def poses():
    return draw_poses(400)


def ones(poses):
    return np.ones(poses.shape[:2])


@pytest.mark.parametrize('name, options', [
    ('weights_h0.05', dict(bandwidth=0.05)),
    ('weights_h0.2', dict(bandwidth=0.2)),
    ('weights_h0.6', {}),
    ('weights_gaussian_h0.2', dict(bandwidth=0.2, kernel='gaussian')),
])
def test_the_sources_weights(name, options):
    with np.load(DATA) as data:
        poses, expected = data['poses'].reshape(-1, 14, 2), data[name]
    density = PoseDensity('source', **options).fit(
        poses, ones(poses), image_sizes=np.ones((len(poses), 2)))
    np.testing.assert_allclose(density.weights, expected, rtol=1e-5)


def test_the_source_scales_by_the_image():
    poses = draw_poses(50)
    sizes = np.random.default_rng(1).uniform(100, 300, (50, 2))
    of_pixels = PoseDensity('source').fit(poses, ones(poses),
                                          image_sizes=sizes)
    of_shares = PoseDensity('source', normalize='none').fit(
        poses / sizes[:, None], ones(poses))
    np.testing.assert_allclose(of_pixels.weights, of_shares.weights,
                               rtol=1e-9)


def test_the_sources_missing_joints_are_zero():
    poses = draw_poses(50)
    visible = ones(poses)
    visible[:20, 2] = 0
    sizes = np.full((50, 2), 200.)
    there = PoseDensity('source').fit(poses, visible, image_sizes=sizes)
    zeroed = poses * visible[..., None]
    as_zeros = PoseDensity('source').fit(zeroed, ones(poses),
                                         image_sizes=sizes)
    np.testing.assert_array_equal(there.weights, as_zeros.weights)


def test_leaving_out_lifts_the_rare(poses):
    common = dict(alpha=1., clip=None, min_ess=0, bandwidth=0.03, mirror=False)
    with_itself = PoseDensity(leave_one_out=False, **common).fit(
        poses, ones(poses))
    without = PoseDensity(**common).fit(poses, ones(poses))
    rarest = without.log_density.argmin()
    assert without.weights[rarest] > 10 * with_itself.weights[rarest]
    assert (without.effective_sample_size <
            with_itself.effective_sample_size)


def test_a_floor_of_the_sample_size_tempers(poses):
    density = PoseDensity(min_ess=0.95).fit(poses, ones(poses),
                                            flip_indices=FLIP)
    assert density.effective_sample_size == pytest.approx(0.95, abs=1e-3)
    assert density.alpha < 0.5
    assert density.weights.mean() == pytest.approx(1)
    plain = PoseDensity(min_ess=0.).fit(poses, ones(poses), flip_indices=FLIP)
    assert plain.alpha == 0.5


@pytest.mark.parametrize('by', ['box', 'torso'])
def test_place_and_size_do_not_count(poses, by):
    options = dict(normalize=by, bandwidth=0.1)
    arguments = dict(flip_indices=FLIP, joint_names=NAMES)
    there = PoseDensity(**options).fit(poses, ones(poses), **arguments)
    moved = poses * np.linspace(0.5, 2, len(poses))[:, None, None] + [30, -8]
    elsewhere = PoseDensity(**options).fit(moved, ones(poses), **arguments)
    np.testing.assert_allclose(elsewhere.log_density, there.log_density,
                               rtol=1e-4, atol=1e-4)


def test_centered_poses_may_stand_anywhere_in_their_boxes(poses):
    boxes = np.tile([0., 0., 200., 200.], (len(poses), 1))
    moves = np.random.default_rng(3).uniform(-20, 20, (len(poses), 1, 2))
    densities = [
        PoseDensity(center=True, bandwidth=0.1).fit(
            each, ones(poses), boxes=boxes, flip_indices=FLIP).log_density
        for each in (poses, poses + moves)]
    np.testing.assert_allclose(*densities, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('options', [
    dict(normalize='box'), dict(normalize='image'),
    dict(normalize='box', center=True), dict(normalize='box', components=0.9),
])
def test_a_mirrored_pose_is_as_common(poses, options):
    sizes = np.full((len(poses), 2), 220.)
    boxes = np.tile([0., 0., 220., 220.], (len(poses), 1))
    density = PoseDensity(bandwidth=0.1, **options).fit(
        poses, ones(poses), boxes=boxes, image_sizes=sizes, flip_indices=FLIP)
    mirrored = poses[:, FLIP] * [-1, 1] + [220, 0]
    scores = [density.score(each, ones(poses), boxes=boxes,
                            image_sizes=sizes) for each in (poses, mirrored)]
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-5)
    # the density of all poses and all mirror images, each pair left out
    both = np.concatenate([poses, mirrored])
    alone = PoseDensity(bandwidth=0.1, mirror=False,
                        **{**options, 'components': density.pca.n_components_
                           }).fit(
        both, ones(both), boxes=np.tile(boxes, (2, 1)),
        image_sizes=np.tile(sizes, (2, 1)), flip_indices=FLIP)
    assert np.corrcoef(alone.log_density[:len(poses)],
                       density.log_density)[0, 1] > 0.99


def test_a_score_is_the_density_with_the_pose_itself(poses):
    density = PoseDensity(leave_one_out=False, bandwidth=0.1).fit(
        poses, ones(poses), flip_indices=FLIP)
    scores = density.score(poses, ones(poses))
    np.testing.assert_allclose(scores, density.log_density, rtol=1e-6,
                               atol=1e-6)


def test_hidden_joints_are_what_the_others_say():
    poses = draw_poses(600)
    visible = ones(poses)
    visible[300:, 2] = 0
    errors = {}
    for missing in ('zero', 'mean', 'conditional'):
        density = PoseDensity(
            missing=missing, normalize='none', mirror=False, components=3,
            bandwidth=5.).fit(poses, visible)
        full = PoseDensity(
            missing=missing, normalize='none', mirror=False, components=3,
            bandwidth=5.).fit(poses, ones(poses))
        errors[missing] = np.abs(density.log_density -
                                 full.log_density)[300:].mean()
    assert errors['conditional'] < 0.2 * errors['mean']
    assert errors['conditional'] < 0.2 * errors['zero']


def test_conditional_mean_is_the_gaussians():
    poses = draw_poses(500).reshape(500, -1)
    density = PoseDensity(normalize='none', mirror=False, components=3,
                          bandwidth=5.).fit(poses.reshape(500, 5, 2),
                                            np.ones((500, 5)))
    pca = density.pca
    observed = np.ones((3, 10), bool)
    observed[0, :4] = observed[1, 6:] = False
    filled = conditional_mean(pca, poses[:3], observed)
    covariance = pca.get_covariance()
    for row in range(3):
        there, hidden = observed[row], ~observed[row]
        expected = pca.mean_[hidden] + covariance[np.ix_(
            hidden, there)] @ np.linalg.solve(
                covariance[np.ix_(there, there)],
                poses[row, there] - pca.mean_[there])
        np.testing.assert_allclose(filled[row, hidden], expected, rtol=1e-6)
        np.testing.assert_array_equal(filled[row, there], poses[row, there])


def test_too_few_joints_have_no_density_and_weight_one(poses):
    visible = ones(poses)
    visible[7, :3] = 0
    hidden = poses.copy()
    hidden[7, :3] = np.nan
    density = PoseDensity().fit(hidden, visible, flip_indices=FLIP)
    assert np.flatnonzero(np.isnan(density.log_density)).tolist() == [7]
    assert density.weights[7] == 1
    assert np.isnan(density.score(hidden[:8], visible[:8])).tolist() == (
        [False] * 7 + [True])
    generous = PoseDensity(min_joints=2).fit(hidden, visible,
                                             flip_indices=FLIP)
    assert np.isfinite(generous.log_density).all()
    # so has a pose without a torso
    visible = ones(poses)
    visible[3, 3] = 0
    torso = PoseDensity(normalize='torso').fit(
        poses, visible, flip_indices=FLIP, joint_names=NAMES)
    assert np.flatnonzero(np.isnan(torso.log_density)).tolist() == [3]


@pytest.mark.parametrize('leave_one_out', [True, False])
@pytest.mark.parametrize('mirror', [True, False])
def test_some_references_stand_for_all(leave_one_out, mirror):
    poses = draw_poses(3000)
    options = dict(leave_one_out=leave_one_out, bandwidth=0.3, mirror=mirror)
    exact = PoseDensity(**options).fit(poses, ones(poses), flip_indices=FLIP)
    some = PoseDensity(max_references=1000, **options).fit(
        poses, ones(poses), flip_indices=FLIP)
    assert len(some.references) == 1000 and exact.density_error is None
    relative = np.expm1(some.log_density - exact.log_density)
    # as far off as it says
    assert np.sqrt(np.mean((relative / some.density_error)**2)) == (
        pytest.approx(1, abs=0.35))
    assert abs(np.mean(relative)) < 0.05
    again = PoseDensity(max_references=1000, **options).fit(
        poses, ones(poses), flip_indices=FLIP)
    np.testing.assert_array_equal(again.weights, some.weights)


def test_references_that_were_drawn_weigh_no_less():
    poses = draw_poses(3000)
    options = dict(leave_one_out=False, bandwidth=0.05, mirror=False)
    exact = PoseDensity(**options).fit(poses, ones(poses))
    some = PoseDensity(max_references=300, **options).fit(poses, ones(poses))
    drawn = np.isin(np.arange(3000), np.sort(
        np.random.default_rng(0).choice(3000, 300, replace=False)))
    bias = some.log_density - exact.log_density
    assert abs(bias[drawn].mean() - bias[~drawn].mean()) < 0.1


@pytest.mark.parametrize('mirror', [True, False])
def test_densities_with_and_without_the_pose_itself(poses, mirror):
    options = dict(bandwidth=0.05, mirror=mirror)
    left_out, with_itself = (
        PoseDensity(leave_one_out=each, **options).fit(
            poses, ones(poses), flip_indices=FLIP) for each in (True, False))
    np.testing.assert_array_equal(left_out.held_out, left_out.log_density)
    np.testing.assert_array_equal(with_itself.held_out, left_out.log_density)
    np.testing.assert_allclose(
        with_itself.score(poses, ones(poses)), with_itself.log_density,
        rtol=1e-6, atol=1e-6)


def test_mirror_images_without_a_middle_are_refused():
    for options in (dict(normalize='none'),
                    dict(mode='source', mirror=True)):
        with pytest.raises(ValueError, match='does not go with'):
            PoseDensity(**{'mirror': True, **options})


def test_boxes_are_given_always_or_never(poses):
    boxes = np.tile([0., 0., 200., 200.], (len(poses), 1))
    density = PoseDensity(mirror=False).fit(poses, ones(poses), boxes=boxes)
    with pytest.raises(ValueError, match='normalised by boxes'):
        density.score(poses, ones(poses))
    density = PoseDensity(mirror=False).fit(poses, ones(poses))
    with pytest.raises(ValueError, match='these poses have boxes'):
        density.score(poses, ones(poses), boxes=boxes)


def test_share_of_variance(poses):
    density = PoseDensity(components=0.5).fit(poses, ones(poses),
                                              flip_indices=FLIP)
    shares = density.pca.explained_variance_ratio_
    assert shares.sum() >= 0.5 > shares[:-1].sum()


@pytest.mark.parametrize('change, message', [
    (lambda poses: poses[:1], '1 of 1 poses'),
    (lambda poses: poses[:6], 'more than 8 are needed'),
    (lambda poses: np.repeat(poses[:3], 30, 0), 'only 3 different'),
    (lambda poses: np.where(np.arange(400)[:, None, None] == 5, 7., poses),
     'without extent, the first is number 5'),
    (lambda poses: np.where(np.arange(400)[:, None, None] == 6, np.nan,
                            poses), 'NaN or infinite, the first is number 6'),
    (lambda poses: poses[..., :1], 'shape'),
])
def test_bad_poses(poses, change, message):
    changed = change(poses)
    with pytest.raises(ValueError, match=message):
        PoseDensity(components=8).fit(changed, np.ones(changed.shape[:2]),
                                      flip_indices=FLIP)


def test_copies_are_counted(poses):
    copied = np.concatenate([poses, poses[:10]])
    with pytest.warns(UserWarning, match='10 of 410 poses are copies'):
        density = PoseDensity().fit(copied, ones(copied), flip_indices=FLIP)
    assert density.copies == 10


@pytest.mark.parametrize('options, error', [
    (dict(mode='sauce'), ValueError), (dict(bandwith=1), TypeError),
    (dict(bandwidth=0), ValueError), (dict(bandwidth='silverman'), ValueError),
    (dict(bandwidth=float('nan')), ValueError),
    (dict(components=0), ValueError), (dict(components=2.5), ValueError),
    (dict(alpha=-1), ValueError), (dict(min_ess=1.), ValueError),
    (dict(kernel='box'), ValueError), (dict(missing='guess'), ValueError),
    (dict(normalize='head'), ValueError), (dict(clip=(2, 3)), ValueError),
    (dict(max_references=1), ValueError), (dict(min_joints=-1), ValueError),
])
def test_wrong_options(options, error):
    with pytest.raises(error):
        PoseDensity(**options)


def test_what_is_needed_is_asked_for(poses):
    visible = ones(poses)
    with pytest.raises(ValueError, match='flip_indices'):
        PoseDensity().fit(poses, visible)
    with pytest.raises(ValueError, match='image_sizes'):
        PoseDensity('source').fit(poses, visible)
    with pytest.raises(ValueError, match='left_shoulder'):
        PoseDensity(normalize='torso').fit(poses, visible, flip_indices=FLIP)
    with pytest.raises(ValueError, match='boxes must have the shape'):
        PoseDensity().fit(poses, visible, flip_indices=FLIP,
                          boxes=np.ones((3, 4)))
    with pytest.raises(ValueError, match='axes are asked for'):
        PoseDensity(components=11).fit(poses, visible, flip_indices=FLIP)
    with pytest.raises(ValueError, match='call fit'):
        PoseDensity().score(poses, visible)
    hidden = visible.copy()
    hidden[:, 2] = 0
    with pytest.raises(ValueError, match='visible in no pose'):
        PoseDensity().fit(poses, hidden, flip_indices=FLIP)
    fitted = PoseDensity(mirror=False).fit(poses, visible)
    with pytest.raises(ValueError, match='poses of 5 joints'):
        fitted.score(poses[:, :4], visible[:, :4])
