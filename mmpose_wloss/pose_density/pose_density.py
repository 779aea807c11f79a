"""The density of poses, and the weights that follow from it."""

import functools
import math
import warnings
from collections.abc import Sequence

import numpy as np

from ..common.checks import non_negative, one_of, positive, whole, within
from ..common.errors import UserError
from .kernel_density import (
    KERNELS,
    log_kernel_norm,
    log_kernel_sums,
    loo_bandwidth,
    scott_bandwidth,
)
from .missing_joints import MISSING, conditional_mean, fill_with_mean
from .normalization import (
    NORMALIZATIONS,
    UnusablePoses,
    mirror_poses,
    normalize_poses,
    torso_indices,
)
from .weights import WEIGHTINGS, effective_sample_size, temper_to

# the density of all modes but the original code's
DENSITY = dict(
    normalize='box', center=False, mirror=True, missing='conditional',
    min_joints=None, components=10, kernel='exponential', bandwidth='scott',
    leave_one_out=True, min_ess=0., mean_one=True, max_references=None, seed=0)
MODES = {
    'source': dict(
        normalize='image', center=False, mirror=False, missing='zero',
        min_joints=0, components=10, kernel='exponential', bandwidth=0.6,
        leave_one_out=False, weighting='inverse', alpha=1., clip=None, min_ess=0.,
        mean_one=False, max_references=None, seed=0),
    'tempered': dict(DENSITY, weighting='inverse', alpha=0.5, clip=(0.1, 10.),
                     min_ess=0.5),
    'repeat_factor': dict(DENSITY, weighting='repeat_factor', alpha=0.5,
                          threshold=0.5),
    'effective_number': dict(DENSITY, weighting='effective_number', alpha=1.,
                             beta=0.999),
    'denseweight': dict(DENSITY, kernel='gaussian', leave_one_out=False,
                        weighting='denseweight', alpha=1., epsilon=1e-6),
    'smoothed': dict(DENSITY, kernel='gaussian', leave_one_out=False,
                     weighting='inverse', alpha=0.5, clip=None),
}
# the rounds in which axes and missing joints are fitted to each other
ROUNDS = 20
TOLERANCE = 1e-4


class PoseDensity:
    r"""How common each training pose is, and how much it should weigh.

    Poses are normalized and projected on their principal axes; there a kernel
    density estimate tells how common each is:

    .. math:: p(x_i) = \frac{1}{c\,h^D} \frac{1}{N - 1} \sum_{j \ne i}
        K\!\left(\frac{\lVert x_i - x_j \rVert}{h}\right), \qquad
        w_i = \left(\frac{\mathrm{median}(p)}{p(x_i)}\right)^\alpha .

    ``mode='source'`` is the weighted DeepPose's: coordinates over the size of
    the image, 10 axes, an exponential kernel of bandwidth 0.6, and a pose's
    own kernel in its density (N instead of N - 1). ``mode='tempered'``, the
    default, leaves it out, so that a rare pose looks rare, and tempers the
    weights. The others weigh by another formula: ``'repeat_factor'``
    (:func:`repeat_factors`), ``'effective_number'``
    (:func:`effective_number_weights`), ``'denseweight'`` (:func:`dense_weights`),
    and ``'smoothed'``: the root of the inverse density with the pose's own kernel,
    which is the label distribution smoothing of `Yang et al. 2021
    <https://arxiv.org/abs/2102.09554>`_ in the space of poses. Options by name go
    before those of the mode, which ``MODES`` has.

    Args:
        mode (str): A key of ``MODES``.
        normalize (str): ``'image'``, ``'box'``, ``'torso'`` or ``'none'``, see
            :func:`normalize_poses`.
        center (bool): Whether each pose's mean is the origin.
        mirror (bool): Whether mirror images belong to the density too, as they
            do to a training that flips.
        missing (str): What stands for missing joints: ``'zero'``, ``'mean'``,
            or ``'conditional'``: what the axes expect given the others.
        min_joints (int, optional): A pose with fewer visible joints has no
            density and weight 1. ``None``: half of them.
        components (int or float): Number of axes, or, below 1, the share of
            the variance that they explain. By default 10, or the number of
            coordinates where poses have fewer.
        kernel (str): ``'exponential'`` or ``'gaussian'``.
        bandwidth (float or str): In units of the normalized poses;
            ``'scott'``: :func:`scott_bandwidth`; ``'loo'``:
            :func:`loo_bandwidth`, which is narrower: a tight group of poses
            is then dense however few they are.
        leave_one_out (bool): Whether a pose is left out of its own density.
        weighting (str): From density to weight: ``'inverse'``, as above,
            ``'repeat_factor'``, ``'effective_number'`` or ``'denseweight'``. Each
            has options that the others lack.
        alpha (float): Tempering of the weights, at least 0.
        clip (Sequence[float], optional): Smallest and largest weight, before
            they are brought to a mean of 1; of ``'inverse'``.
        threshold (float): Of ``'repeat_factor'``, the share of the poses that weigh
            more than the others, in [0, 1].
        beta (float): Of ``'effective_number'``, in [0, 1).
        epsilon (float): Of ``'denseweight'``, the smallest weight, in (0, 1].
        min_ess (float): Smallest effective sample size, in [0, 1); ``alpha``
            is lowered until it is reached.
        mean_one (bool): Whether weights are divided by their mean, so that
            the loss keeps its scale.
        max_references (int, optional): The density is estimated from at most
            so many poses; ``None``: from all of them, exactly.
        seed (int): What is drawn comes from it.

    Attributes:
        options (dict): All options, with the mode's where none was given.
        log_density (np.ndarray): Of the poses fitted to, in shape [N]; NaN
            where there is none.
        held_out (np.ndarray): The same under all other poses, whatever
            ``leave_one_out`` says: to compare :meth:`score` of others with.
        weights (np.ndarray): In shape [N].
        bandwidth (float): The bandwidth used.
        alpha (float): The tempering used.
        copies (int): How many poses equal an earlier one.
        density_error (np.ndarray, optional): Estimated relative standard error
            of the densities, in shape [M] of the poses that have one, where
            ``max_references`` left some out.

    Raises:
        UserError: If an option is unknown, or out of its range.
    """

    def __init__(self, mode: str = 'tempered', **options):
        one_of(MODES, mode=mode)
        for name in options:
            one_of(MODES[mode], option=name)
        if options.get('weighting', weighting := MODES[mode]['weighting']) != weighting:
            raise UserError(
                f"weighting={options['weighting']!r} does not go with mode={mode!r}, "
                f'which weighs by {weighting!r}: set the mode that has it')
        self._fewer_axes = 'components' not in options
        self.options = options = {**MODES[mode], **options}

        by, missing = options['normalize'], options['missing']
        one_of(NORMALIZATIONS, normalize=by)
        one_of(MISSING, missing=missing)
        one_of(KERNELS, kernel=options['kernel'])
        non_negative(alpha=options['alpha'], min_ess=options['min_ess'])
        if options['min_ess'] >= 1:
            raise UserError(f'min_ess must be below 1: {options["min_ess"]}')
        if options['bandwidth'] not in ('scott', 'loo'):
            positive(bandwidth=options['bandwidth'])
        positive(components=options['components'])
        if options['components'] >= 1:
            whole(1, components=options['components'])
        if options['min_joints'] is not None:
            whole(0, min_joints=options['min_joints'])
        if options['max_references'] is not None:
            whole(2, max_references=options['max_references'])
        within(0, 1, threshold=options.get('threshold', 0))
        within(0, 1 - 1e-12, beta=options.get('beta', 0))
        within(1e-12, 1, epsilon=options.get('epsilon', 1))
        self._weigh(np.zeros(1), options['alpha'])
        if options['mirror'] and (by == 'none' or by == 'image' and not
                                  options['center'] and missing == 'zero'):
            # a mirror image needs a middle, of missing joints too
            raise UserError(
                f'mirror=True does not go with normalize={by!r} and '
                f"missing={missing!r}: normalize by 'box' or 'torso', or fill "
                "missing joints with 'conditional'")

    @property
    def effective_sample_size(self) -> float:
        """Effective sample size of the weights over the number of poses."""
        return effective_sample_size(self.weights)

    def _normalize(self, poses, visible, boxes, image_sizes):
        """Check and normalize poses; says which can have a density."""
        poses, visible = np.asarray(poses), np.asarray(visible) > 0
        for name, values, shape in (
                ('poses', poses, (*poses.shape[:2], 2)),
                ('visible', visible, poses.shape[:2]),
                ('boxes', boxes, (len(poses), 4)),
                ('image_sizes', image_sizes, (len(poses), 2))):
            if values is not None and np.shape(values) != shape:
                raise UserError(f'{name} must have the shape {list(shape)}, '
                                f'but it is {list(np.shape(values))}')
        broken = np.flatnonzero(
            (~np.isfinite(poses).all(2) & visible).any(1))
        if len(broken):
            raise UnusablePoses(
                f'{len(broken)} of {len(poses)} poses have visible joints '
                'whose coordinates are NaN or infinite, the first is number '
                f'{broken[0]}. Correct these annotations, or mark the joints '
                'as not visible', broken)
        least = self.options['min_joints']
        if least is None:
            least = math.ceil(poses.shape[1] / 2)
        normalized, has_density = normalize_poses(
            poses, visible, self.options['normalize'], boxes, image_sizes,
            self.torso, self.options['center'], least)
        return normalized, visible, has_density

    def _fit_axes(self, poses, visible) -> np.ndarray:
        """Fit the axes; returns the vectors of the poses, filled."""
        from sklearn.decomposition import PCA

        options, count = self.options, len(poses)
        if options['components'] > poses[0].size:
            raise UserError(
                f'components={options["components"]} axes are asked for, but '
                f'poses of {poses.shape[1]} joints have {poses[0].size} '
                'coordinates')
        if options['mirror']:
            mirrored = mirror_poses(poses, visible, self.flip_indices,
                                    options['normalize'], options['center'])
            poses, visible = (np.concatenate(pair) for pair in zip(
                (poses, visible), mirrored, strict=True))
        vectors = filled = poses.reshape(len(poses), -1)
        observed = np.repeat(visible, 2, axis=1)
        if options['missing'] != 'zero':
            filled = fill_with_mean(vectors, observed)
            # what is filled in does not change the mean
            self.fill = filled.mean(0)
        for _ in range(ROUNDS):
            self.pca = PCA(options['components'], svd_solver='full'
                           ).fit(filled)
            if options['missing'] != 'conditional' or observed.all():
                break
            before, filled = filled, conditional_mean(self.pca, vectors,
                                                      observed)
            change = np.sqrt(np.mean((filled - before)[~observed]**2))
            if change < TOLERANCE * filled.std():
                break
        return filled[:count]

    def fit(self, poses: np.ndarray, visible: np.ndarray, *,
            boxes: np.ndarray | None = None,
            image_sizes: np.ndarray | None = None,
            joint_names: Sequence[str] | None = None,
            flip_indices: Sequence[int] | None = None,
            device: str = 'cpu', progress: bool = False) -> 'PoseDensity':
        """Find the density of poses and their weights.

        Args:
            poses (np.ndarray): Joints in pixels, in shape [N, K, 2].
            visible (np.ndarray): Which are annotated (above 0), in shape
                [N, K].
            boxes (np.ndarray, optional): Left, top, right and bottom in
                pixels, in shape [N, 4]; by default the visible joints'.
            image_sizes (np.ndarray, optional): Width and height in pixels, in
                shape [N, 2], for ``normalize='image'``.
            joint_names (Sequence[str], optional): For ``normalize='torso'``.
            flip_indices (Sequence[int], optional): For each joint the one of
                the other side, for ``mirror=True``.
            device (str): Where densities are computed.
            progress (bool): Whether to show a bar.

        Returns:
            PoseDensity: Itself.

        Raises:
            UserError: If poses are not finite, too few, or all alike, or
                something needed is missing.
        """
        options = self.options
        if self._fewer_axes:
            options['components'] = min(options['components'], poses[0].size)
        if options['mirror'] and flip_indices is None:
            raise UserError('mirror=True needs flip_indices')
        self.flip_indices = flip_indices
        self.with_boxes = boxes is not None
        self.torso = (torso_indices(joint_names or ())
                      if options['normalize'] == 'torso' else None)
        normalized, visible, has_density = self._normalize(
            poses, visible, boxes, image_sizes)
        count, least = int(has_density.sum()), max(2, options['components'])
        if count <= least:
            raise UserError(
                f'{count} of {len(poses)} poses have the joints that a '
                f'density needs, but more than {least} are needed for '
                f'components={options["components"]}: set fewer')
        filled = self._fit_axes(normalized[has_density], visible[has_density])
        distinct = len(np.unique(filled, axis=0))
        self.copies = count - distinct
        if distinct <= least:
            raise UserError(
                f'{count} poses, but only {distinct} different ones; more than '
                f'{least} are needed for components={options["components"]}')
        if self.copies:
            warnings.warn(
                f'{self.copies} of {count} poses are copies of others, which '
                'makes them look more common than they are', stacklevel=2)
        places = self.references = self._places(filled)
        if options['bandwidth'] == 'scott':
            self.bandwidth = scott_bandwidth(places)
        elif options['bandwidth'] == 'loo':
            self.bandwidth = loo_bandwidth(
                places, options['kernel'], self._mirror_places(places), device,
                options['seed'])
        else:
            self.bandwidth = float(options['bandwidth'])
        held_out = self._density_under_others(places, device, progress)
        log_density = self._maybe_with_itself(held_out, places, count)
        self.alpha, weights = self._tempered_weights(
            log_density, held_out + self._log_norm(count - 1))
        self.held_out, self.log_density = np.full((2, len(poses)), np.nan)
        self.weights = np.ones(len(poses))
        self.held_out[has_density] = held_out
        self.log_density[has_density] = log_density
        self.weights[has_density] = weights
        return self

    def _weigh(self, values: np.ndarray, alpha: float) -> np.ndarray:
        """The weights of log densities, or of what the weighting takes instead."""
        weigh, names = WEIGHTINGS[self.options['weighting']]
        return weigh(values, alpha, **{name: self.options[name] for name in names})

    def _tempered_weights(self, log_density: np.ndarray, log_neighbors: np.ndarray
                          ) -> tuple[float, np.ndarray]:
        """The tempering that options ask for, and the weights that it makes."""
        options, alpha = self.options, float(self.options['alpha'])
        weigh = functools.partial(
            self._weigh, log_neighbors if options['weighting'] == 'effective_number'
            else log_density)
        if options['min_ess']:
            alpha = temper_to(weigh, alpha, options['min_ess'])
        weights = weigh(alpha)
        return alpha, weights / weights.mean() if options['mean_one'] else weights

    def _places(self, filled: np.ndarray) -> np.ndarray:
        return (filled - self.pca.mean_) @ self.pca.components_.T

    def _mirror_places(self, places: np.ndarray) -> np.ndarray | None:
        """Places of the mirror images, if those belong to the density."""
        if not self.options['mirror']:
            return None
        # a set of poses with their mirror images has axes that are mirrored
        # onto each other
        axes = self.pca.components_
        moved = axes.reshape(len(axes), -1, 2)[:, list(self.flip_indices)]
        moved = (moved * [-1, 1]).reshape(axes.shape)
        return places @ axes @ moved.T

    def _density_under_others(self, places: np.ndarray, device: str,
                              progress: bool) -> np.ndarray:
        """Log density of each pose under all others that are kept."""
        count, most = len(places), self.options['max_references']
        self.density_error = None  # also of an earlier fit
        arguments = dict(bandwidth=self.bandwidth, device=device,
                         kernel=self.options['kernel'], progress=progress)
        if most is None or most >= count:
            sums = log_kernel_sums(
                places, mirrored=self._mirror_places(places), **arguments)
            return sums - self._log_norm(count - 1)
        drawn = np.sort(np.random.default_rng(self.options['seed']).choice(
            count, most, replace=False))
        self.references = places[drawn]
        own = np.full(count, -1)
        own[drawn] = np.arange(most)
        sums, spread = log_kernel_sums(
            places, self.references, own=own, moments=True,
            mirrored=self._mirror_places(self.references), **arguments)
        used = np.where(own < 0, most, most - 1)
        self.density_error = np.sqrt(
            (spread - 1 / used).clip(0) * (1 - most / count))
        return sums - self._log_norm(used)

    def _maybe_with_itself(self, held_out: np.ndarray, places: np.ndarray,
                           count: int) -> np.ndarray:
        """Add each pose's own kernel, as options say, to its density under others.

        The count is that of all poses, with itself.
        """
        if self.options['leave_one_out']:
            return held_out
        own = 1.
        mirrored = self._mirror_places(places)
        if mirrored is not None:
            distances = np.linalg.norm(places - mirrored, axis=1)
            distances /= self.bandwidth
            own += np.exp(-distances if self.options['kernel'] == 'exponential'
                          else -distances**2 / 2)
        return np.logaddexp(held_out + np.log1p(-1 / count),
                            np.log(own) - self._log_norm(count))

    def _log_norm(self, count) -> np.ndarray:
        """Log of the number of kernels of so many poses, and their integral."""
        images = 2 if self.options['mirror'] else 1
        return np.log(images * count) + log_kernel_norm(
            self.options['kernel'], self.references.shape[1], self.bandwidth)

    def score(self, poses: np.ndarray, visible: np.ndarray, *,
              boxes: np.ndarray | None = None,
              image_sizes: np.ndarray | None = None,
              device: str = 'cpu') -> np.ndarray:
        """Log density of M other poses under those that were fitted to.

        Returns:
            np.ndarray: In shape [M]; NaN where there are too few joints.

        Raises:
            UserError: If poses do not fit those of :meth:`fit`.
        """
        scores, _, _ = self._score(poses, visible, boxes, image_sizes, device)
        return scores

    def _score(self, poses: np.ndarray, visible: np.ndarray, boxes: np.ndarray | None,
               image_sizes: np.ndarray | None, device: str
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log densities [M], which poses have one [M], and the places of these."""
        if not hasattr(self, 'references'):
            raise UserError('PoseDensity has no density yet: call fit first')
        if (self.options['normalize'] == 'box' and
                self.with_boxes != (boxes is not None)):
            raise UserError('score needs boxes where fit had them, and none '
                            'where fit had none')
        normalized, visible, has_density = self._normalize(
            poses, visible, boxes, image_sizes)
        joints = len(self.pca.mean_) // 2
        if normalized.shape[1] != joints:
            raise UserError(
                f'the density is of poses of {joints} joints, but these have '
                f'{normalized.shape[1]}')
        scores = np.full(len(has_density), np.nan)
        if not has_density.any():
            return scores, has_density, np.empty((0, 0))
        vectors = normalized[has_density].reshape(-1, 2 * joints)
        observed = np.repeat(visible[has_density], 2, axis=1)
        if self.options['missing'] == 'mean':
            vectors = fill_with_mean(vectors, observed, self.fill)
        elif self.options['missing'] == 'conditional':
            vectors = conditional_mean(self.pca, vectors, observed)
        places = self._places(vectors)
        sums = log_kernel_sums(
            places, self.references, bandwidth=self.bandwidth,
            mirrored=self._mirror_places(self.references),
            kernel=self.options['kernel'], device=device)
        scores[has_density] = sums - self._log_norm(len(self.references))
        return scores, has_density, places

    def score_and_weigh(self, poses: np.ndarray, visible: np.ndarray, *,
                        boxes: np.ndarray | None = None,
                        image_sizes: np.ndarray | None = None,
                        device: str = 'cpu') -> tuple[np.ndarray, np.ndarray]:
        """Log densities of M other poses, and weights by the options of the density.

        The weights' median, mean and effective sample size are their own.

        Returns:
            tuple[np.ndarray]: As of :meth:`score`; and weights in shape [M], 1 where
            there are too few joints.

        Raises:
            UserError: If poses do not fit those of :meth:`fit`.
        """
        scores, has_density, places = self._score(
            poses, visible, boxes, image_sizes, device)
        weights = np.ones(len(scores))
        # of all poses fitted to, for which the references stand
        count = len(self.references if self.density_error is None
                    else self.density_error)
        if has_density.any():
            held_out = scores[has_density]
            _, weights[has_density] = self._tempered_weights(
                self._maybe_with_itself(held_out, places, count + 1),
                held_out + self._log_norm(count))
        return scores, weights

    def pose_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean pose, in shape [K, 2], and what each axis adds to it.

        That is one standard deviation along it, in shape [D, K, 2] of all.
        """
        spread = self.pca.components_ * np.sqrt(
            self.pca.explained_variance_)[:, None]
        return (self.pca.mean_.reshape(-1, 2),
                spread.reshape(len(spread), -1, 2))
