"""The density of poses: the original values, missing joints, bad input."""

from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.pose_density import (
    PoseDensity,
    dense_weights,
    effective_number_weights,
    effective_sample_size,
    repeat_factors,
)
from mmpose_wloss.pose_density.missing_joints import conditional_mean
from mmpose_wloss.pose_density.pose_density import MODES

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


def fit(poses, visible=None, mode='tempered', options=None, **arguments):
    """A density of poses, all of whose joints are visible by default."""
    arguments = dict(dict(flip_indices=FLIP, joint_names=NAMES), **arguments)
    return PoseDensity(mode, **(options or {})).fit(
        poses, ones(poses) if visible is None else visible, **arguments)


@pytest.mark.parametrize('name, options', [
    ('weights_h0.05', dict(bandwidth=0.05)),
    ('weights_h0.2', dict(bandwidth=0.2)),
    ('weights_h0.6', {}),
    ('weights_gaussian_h0.2', dict(bandwidth=0.2, kernel='gaussian')),
])
def test_the_original_weights(name, options):
    with np.load(DATA) as data:
        poses, expected = data['poses'].reshape(-1, 14, 2), data[name]
    density = fit(poses, mode='source', options=options,
                  image_sizes=np.ones((len(poses), 2)))
    np.testing.assert_allclose(density.weights, expected, rtol=1e-5)


def test_the_original_code_scales_by_the_image():
    poses = draw_poses(50)
    sizes = np.random.default_rng(1).uniform(100, 300, (50, 2))
    of_pixels = fit(poses, mode='source', image_sizes=sizes)
    of_shares = fit(poses / sizes[:, None], mode='source',
                    options=dict(normalize='none'))
    np.testing.assert_allclose(of_pixels.weights, of_shares.weights,
                               rtol=1e-9)


def test_missing_joints_are_zero_in_the_original_code():
    poses, sizes = draw_poses(50), np.full((50, 2), 200.)
    visible = np.random.default_rng(1).random((50, 5)) > 0.3
    hidden, zero = (fit(*each, mode='source', image_sizes=sizes) for each in (
        (poses, visible), (poses * visible[..., None], ones(poses))))
    np.testing.assert_array_equal(hidden.weights, zero.weights)


def test_leaving_out_lifts_the_rare(poses):
    with_itself, without = (
        fit(poses, options=dict(alpha=1., clip=None, min_ess=0, mirror=False,
                                bandwidth=0.03, leave_one_out=each))
        for each in (False, True))
    rarest = without.log_density.argmin()
    assert without.weights[rarest] > 10 * with_itself.weights[rarest]
    assert (without.effective_sample_size <
            with_itself.effective_sample_size)


def test_a_floor_of_the_sample_size_tempers(poses):
    density = fit(poses, options=dict(min_ess=0.95))
    assert density.effective_sample_size == pytest.approx(0.95, abs=1e-3)
    assert density.alpha < 0.5
    assert density.weights.mean() == pytest.approx(1)
    assert fit(poses, options=dict(min_ess=0.)).alpha == 0.5


@pytest.mark.parametrize('mode', MODES)
def test_each_mode_lifts_the_rare(poses, mode):
    density = fit(poses, mode=mode, options=dict(components=3),
                  image_sizes=np.full((len(poses), 2), 200.))
    rare, common = density.log_density.argsort()[[0, -1]]
    assert density.weights[rare] > density.weights[common]
    assert density.weights.mean() == pytest.approx(1) or mode == 'source'


def test_modes_weigh_by_their_formulas(poses):
    def weights(mode, **options):
        density = fit(poses, mode=mode,
                      options=dict(components=3, mean_one=False, **options))
        return density.weights, density

    ours, density = weights('repeat_factor', threshold=0.2)
    np.testing.assert_array_equal(ours, repeat_factors(
        density.log_density, 0.5, 0.2))
    ours, density = weights('denseweight', epsilon=0.1)
    np.testing.assert_array_equal(ours, dense_weights(
        density.log_density, 1., 0.1))
    ours, density = weights('smoothed')
    np.testing.assert_allclose(ours, np.exp(-density.log_density / 2) * np.median(
        np.exp(density.log_density))**0.5)
    # neighbors are sums of kernels, of mirror images too
    ours, density = weights('effective_number', mirror=False, beta=0.9)
    places = density.references
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    neighbors = np.exp(-distances / density.bandwidth).sum(1) - 1
    np.testing.assert_allclose(ours, effective_number_weights(
        np.log(neighbors), beta=0.9), rtol=1e-4)


@pytest.mark.parametrize('mode, options', [
    ('denseweight', dict(alpha=50.)), ('effective_number', dict(beta=0.9999)),
    ('repeat_factor', dict(alpha=3.)), ('smoothed', dict(alpha=3.))])
def test_all_modes_can_be_of_equal_strength(poses, mode, options):
    options = dict(components=3, **options)
    assert fit(poses, mode=mode, options=options).effective_sample_size < 0.79
    density = fit(poses, mode=mode, options=dict(options, min_ess=0.8))
    assert density.effective_sample_size == pytest.approx(0.8, abs=1e-3)
    assert density.alpha < density.options['alpha']


@pytest.mark.parametrize('mode', [mode for mode in MODES if mode != 'source'])
def test_weights_of_other_poses(poses, mode):
    density = fit(poses, mode=mode, options=dict(components=3))
    others, visible = draw_poses(31, seed=1), np.ones((31, 5))
    visible[-1] = 0
    scores, weights = density.score_and_weigh(others, visible)
    np.testing.assert_array_equal(scores, density.score(others, visible))
    assert weights[-1] == 1 and weights[:-1].mean() == pytest.approx(1)
    ordered = weights[np.argsort(scores[:-1])]
    assert (np.diff(ordered) <= 1e-9).all() and ordered[0] > ordered[-1]
    _, alone = density.score_and_weigh(others[-1:], visible[-1:])
    np.testing.assert_array_equal(alone, 1)


@pytest.mark.parametrize('mirror', [True, False])
@pytest.mark.parametrize('mode', ['source', 'smoothed'])
def test_an_outlier_weighs_as_if_fitted_to(poses, mode, mirror):
    """Its own kernel bounds its weight."""
    outlier = np.random.default_rng(3).uniform(50, 150, (1, 5, 2))
    poses = np.concatenate([poses[:-1], outlier])
    options = dict(mirror=mirror, components=3, normalize='box', bandwidth=0.1)
    whole = fit(poses, mode=mode, options=options)
    others = fit(poses[:-2], mode=mode, options=options)
    scores, (common, outlier) = others.score_and_weigh(poses[-2:], ones(poses[-2:]))
    expected = whole.weights[-1] / whole.weights[-2]
    assert outlier / common == pytest.approx(expected, rel=0.3)
    rarity = np.exp(scores[0] - scores[1])
    assert 2 * expected**(2 if mode == 'smoothed' else 1) < rarity


@pytest.mark.parametrize('mode', [mode for mode in MODES if mode != 'source'])
def test_references_stand_for_all_poses(mode):
    poses, others = draw_poses(600), draw_poses(31, seed=1)
    strength = {most: effective_sample_size(fit(
        poses, mode=mode, options=dict(components=3, max_references=most)
    ).score_and_weigh(others, ones(others))[1]) for most in (None, 60)}
    assert strength[60] == pytest.approx(strength[None], rel=0.2)


@pytest.mark.parametrize('by', ['box', 'torso'])
def test_place_and_size_do_not_count(poses, by):
    moved = poses * np.linspace(0.5, 2, len(poses))[:, None, None] + [30, -8]
    there, elsewhere = (
        fit(each, options=dict(normalize=by, bandwidth=0.1)).log_density
        for each in (poses, moved))
    np.testing.assert_allclose(elsewhere, there, rtol=1e-4, atol=1e-4)


def test_centered_poses_may_stand_anywhere_in_their_boxes(poses):
    boxes = np.tile([0., 0., 200., 200.], (len(poses), 1))
    moves = np.random.default_rng(3).uniform(-20, 20, (len(poses), 1, 2))
    densities = [
        fit(each, options=dict(center=True, bandwidth=0.1), boxes=boxes
            ).log_density for each in (poses, poses + moves)]
    np.testing.assert_allclose(*densities, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('options', [
    dict(normalize='box'), dict(normalize='image'),
    dict(normalize='box', center=True), dict(normalize='box', components=0.9),
])
def test_a_mirrored_pose_is_as_common(poses, options):
    frames = dict(image_sizes=np.full((len(poses), 2), 220.),
                  boxes=np.tile([0., 0., 220., 220.], (len(poses), 1)))
    options['bandwidth'] = 0.1
    density = fit(poses, options=options, **frames)
    mirrored = poses[:, FLIP] * [-1, 1] + [220, 0]
    scores = [density.score(each, ones(poses), **frames)
              for each in (poses, mirrored)]
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-5)
    # the density of all poses and all mirror images, each pair left out
    alone = fit(np.concatenate([poses, mirrored]), options=dict(
        options, mirror=False, components=len(density.pca.components_)),
        **{name: np.tile(each, (2, 1)) for name, each in frames.items()})
    assert np.corrcoef(alone.log_density[:len(poses)],
                       density.log_density)[0, 1] > 0.99


@pytest.mark.parametrize('mirror', [True, False])
def test_densities_with_and_without_the_pose_itself(poses, mirror):
    left_out, with_itself = (
        fit(poses, options=dict(bandwidth=0.05, mirror=mirror,
                                leave_one_out=each)) for each in (True, False))
    np.testing.assert_array_equal(left_out.held_out, left_out.log_density)
    np.testing.assert_array_equal(with_itself.held_out, left_out.log_density)
    # a score is the density with the pose itself
    np.testing.assert_allclose(
        with_itself.score(poses, ones(poses)), with_itself.log_density,
        rtol=1e-6, atol=1e-6)


def test_hidden_joints_are_what_the_others_say():
    poses = draw_poses(600)
    visible = ones(poses)
    visible[300:, 2] = 0
    errors = {}
    for missing in ('zero', 'mean', 'conditional'):
        options = dict(missing=missing, normalize='none', mirror=False,
                       components=3, bandwidth=5.)
        hidden, full = (fit(poses, each, options=options).log_density
                        for each in (visible, ones(poses)))
        errors[missing] = np.abs(hidden - full)[300:].mean()
    assert errors['conditional'] < 0.2 * min(errors['mean'], errors['zero'])


def test_conditional_mean_is_the_gaussians():
    poses = draw_poses(500)
    pca = fit(poses, options=dict(normalize='none', mirror=False,
                                  components=3, bandwidth=5.)).pca
    poses = poses.reshape(500, -1)
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
    density = fit(hidden, visible)
    assert np.flatnonzero(np.isnan(density.log_density)).tolist() == [7]
    assert density.weights[7] == 1
    assert np.isnan(density.score(hidden[:8], visible[:8])).tolist() == (
        [False] * 7 + [True])
    assert np.isnan(density.score(hidden[7:8], visible[7:8])).all()
    generous = fit(hidden, visible, options=dict(min_joints=2))
    assert np.isfinite(generous.log_density).all()
    # so has a pose without a torso
    visible = ones(poses)
    visible[3, 3] = 0
    torso = fit(poses, visible, options=dict(normalize='torso'))
    assert np.flatnonzero(np.isnan(torso.log_density)).tolist() == [3]


@pytest.mark.parametrize('leave_one_out, mirror', [(True, True), (False, False)])
def test_some_references_stand_for_all(leave_one_out, mirror):
    poses = draw_poses(3000)
    options = dict(leave_one_out=leave_one_out, bandwidth=0.3, mirror=mirror)
    exact = fit(poses, options=options)
    some, again = (fit(poses, options=dict(options, max_references=1000))
                   for _ in range(2))
    assert len(some.references) == 1000 and exact.density_error is None
    relative = np.expm1(some.log_density - exact.log_density)
    # as far off as it says
    assert np.sqrt(np.mean((relative / some.density_error)**2)) == (
        pytest.approx(1, abs=0.35))
    assert abs(np.mean(relative)) < 0.05
    np.testing.assert_array_equal(again.weights, some.weights)


def test_references_that_were_drawn_weigh_no_less():
    poses = draw_poses(3000)
    exact, some = (
        fit(poses, options=dict(leave_one_out=False, bandwidth=0.05,
                                mirror=False, max_references=most))
        for most in (None, 300))
    drawn = np.isin(np.arange(3000), np.sort(
        np.random.default_rng(0).choice(3000, 300, replace=False)))
    bias = some.log_density - exact.log_density
    assert abs(bias[drawn].mean() - bias[~drawn].mean()) < 0.1


def test_share_of_variance(poses):
    shares = fit(poses, options=dict(components=0.5)
                 ).pca.explained_variance_ratio_
    assert shares.sum() >= 0.5 > shares[:-1].sum()


@pytest.mark.parametrize('change, message', [
    (lambda poses: poses[:1], '1 of 1 '),
    (lambda poses: poses[:6], 'components=8'),
    (lambda poses: np.repeat(poses[:3], 30, 0), 'only 3 different'),
    (lambda poses: np.where(np.arange(400)[:, None, None] == 5, 7., poses),
     'box of 1 .* number 5'),
    (lambda poses: np.where(np.arange(400)[:, None, None] == 6, np.nan,
                            poses), 'NaN .* number 6'),
    (lambda poses: poses[..., :1], 'shape'),
])
def test_bad_poses(poses, change, message):
    with pytest.raises(UserError, match=message):
        fit(change(poses), options=dict(components=8))


def test_copies_are_counted(poses):
    with pytest.warns(UserWarning, match='10 of 410'):
        density = fit(np.concatenate([poses, poses[:10]]))
    assert density.copies == 10


@pytest.mark.parametrize('options', [
    dict(mode='sauce'), dict(bandwith=1), dict(bandwidth='silverman'),
    dict(components=0), dict(components=2.5), dict(alpha=-1),
    dict(min_ess=1.), dict(kernel='box'), dict(missing='guess'),
    dict(normalize='head'), dict(clip=(2, 3)), dict(max_references=1),
    dict(min_joints=-1), dict(mirror=True, normalize='none'),
    dict(mirror=True, mode='source'), dict(beta=0.9), dict(weighting='denseweight'),
    dict(threshold=2., mode='repeat_factor'), dict(clip=None, mode='denseweight'),
    dict(beta=1., mode='effective_number'), dict(epsilon=0., mode='denseweight'),
])
def test_wrong_options(options):
    with pytest.raises(UserError, match=next(iter(options))):
        PoseDensity(**options)


def test_poses_of_few_joints_have_as_many_axes_as_coordinates(poses):
    few = poses[:, :3]
    density = PoseDensity().fit(few, ones(few), flip_indices=[0, 1, 2])
    assert density.options['components'] == 6 == len(density.pca.components_)
    assert np.isfinite(density.weights).all()


def test_what_is_needed_is_asked_for(poses):
    visible = ones(poses)
    hidden = visible.copy()
    hidden[:, 2] = 0
    for needed, options, arguments in (
            ('flip_indices', {}, dict(flip_indices=None)),
            ('image_sizes', dict(mode='source'), {}),
            ('left_shoulder', dict(normalize='torso'), dict(joint_names=None)),
            ('boxes.*400, 4.*3, 4', {}, dict(boxes=np.ones((3, 4)))),
            ('components=11', dict(components=11), {}),
            ('joint number 2', {}, dict(visible=hidden))):
        with pytest.raises(UserError, match=needed):
            fit(poses, mode=options.pop('mode', 'tempered'), options=options,
                **arguments)
    with pytest.raises(UserError, match='fit'):
        PoseDensity().score(poses, visible)
    density, boxes = fit(poses), np.tile([0., 0., 200., 200.], (400, 1))
    with pytest.raises(UserError, match='5 joints.*4'):
        density.score(poses[:, :4], visible[:, :4])
    # boxes always or never
    for fitted, given in ((density, boxes), (fit(poses, boxes=boxes), None)):
        with pytest.raises(UserError, match='boxes'):
            fitted.score(poses, visible, boxes=given)
