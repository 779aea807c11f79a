"""The density of poses, and the weights that follow from it."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA

from ..common.checks import non_negative, one_of, positive, whole
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
from .weights import (
    effective_sample_size,
    median_frequency_weights,
    temper_to,
)

MODES = {
    'source': dict(
        normalize='image', center=False, mirror=False, missing='zero',
        min_joints=0, components=10, kernel='exponential', bandwidth=0.6,
        leave_one_out=False, alpha=1., clip=None, min_ess=0., mean_one=False,
        max_references=None, seed=0),
    'tempered': dict(
        normalize='box', center=False, mirror=True, missing='conditional',
        min_joints=None, components=10, kernel='exponential',
        bandwidth='scott', leave_one_out=True, alpha=0.5, clip=(0.1, 10.),
        min_ess=0.5, mean_one=True, max_references=None, seed=0),
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
    weights. Options by name go before those of the mode, which ``MODES`` has.

    Args:
        mode (str): ``'tempered'`` or ``'source'``.
        normalize (str): ``'image'``, ``'box'``, ``'torso'`` or ``'none'``, see
            :func:`normalize_poses`.
        center (bool): Whether each pose's mean is the origin.
        mirror (bool): Whether each pose's mirror image belongs to the density
            too, as it does to a training that flips.
        missing (str): What stands for missing joints: ``'zero'``, ``'mean'``,
            or ``'conditional'``: what the axes expect given the others.
        min_joints (int, optional): A pose with fewer visible joints has no
            density and weight 1. ``None``: half of them.
        components (int or float): Number of axes, or, below 1, the share of
            the variance that they explain.
        kernel (str): ``'exponential'`` or ``'gaussian'``.
        bandwidth (float or str): In units of the normalized poses;
            ``'scott'``: :func:`scott_bandwidth`; ``'loo'``:
            :func:`loo_bandwidth`, which is narrower: a tight group of poses
            is then dense however few they are.
        leave_one_out (bool): Whether a pose is left out of its own density.
        alpha (float): Tempering of the weights, at least 0.
        clip (Sequence[float], optional): Smallest and largest weight, before
            they are brought to a mean of 1.
        min_ess (float): Smallest effective sample size, a share of the
            number below 1; ``alpha`` is lowered until it is reached.
        mean_one (bool): Whether weights are divided by their mean, so that
            the loss keeps its scale.
        max_references (int, optional): The density is estimated from at most
            so many poses, drawn by ``seed``; :attr:`density_error` says how
            far off that is. ``None``: from all of them, exactly.
        seed (int): What is drawn comes from it.

    Attributes:
        options (dict): All options, with the mode's where none was given.
        log_density (np.ndarray): Of the poses fitted to, in shape [N]; NaN
            where there is none.
        held_out (np.ndarray): The same under all other poses, whatever
            ``leave_one_out`` says; what :meth:`score` returns for other poses
            is to be compared with it.
        weights (np.ndarray): In shape [N].
        bandwidth (float): The bandwidth used.
        alpha (float): The tempering used.
        copies (int): How many poses equal an earlier one.
        density_error (np.ndarray, optional): Relative standard error of the
            densities in shape [N], estimated, where ``max_references`` left
            some poses out.

    Raises:
        UserError: If an option is unknown, or out of its range.
    """

    def __init__(self, mode: str = 'tempered', **options):
        one_of(MODES, mode=mode)
        for name in options:
            one_of(MODES[mode], option=name)
        self.options = {**MODES[mode], **options}
        self._check_options(**self.options)

    @staticmethod
    def _check_options(normalize, center, mirror, missing, min_joints,
                       components, kernel, bandwidth, leave_one_out, alpha,
                       clip, min_ess, mean_one, max_references, seed) -> None:
        one_of(NORMALIZATIONS, normalize=normalize)
        one_of(MISSING, missing=missing)
        one_of(KERNELS, kernel=kernel)
        if bandwidth not in ('scott', 'loo'):
            positive(bandwidth=bandwidth)
        positive(components=components)
        if components >= 1:
            whole(1, components=components)
        non_negative(alpha=alpha, min_ess=min_ess)
        if min_ess >= 1:
            raise UserError(f'min_ess must be below 1, but it is {min_ess}')
        if min_joints is not None:
            whole(0, min_joints=min_joints)
        if max_references is not None:
            whole(2, max_references=max_references)
        median_frequency_weights(np.zeros(1), clip=clip)
        if mirror and (normalize == 'none' or normalize == 'image'
                       and not center and missing == 'zero'):
            # a mirror image needs a middle, of missing joints too
            raise UserError(
                f'mirror=True does not go with normalize={normalize!r} and '
                f"missing={missing!r}: normalize by 'box' or 'torso', or fill "
                "missing joints with 'conditional'")

    @property
    def effective_sample_size(self) -> float:
        """Effective sample size of the weights over the number of poses."""
        return effective_sample_size(self.weights)

    # -- from poses to places on the axes

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
        options = self.options
        least = options['min_joints']
        if least is None:
            least = math.ceil(poses.shape[1] / 2)
        normalized, has_density = normalize_poses(
            poses, visible, options['normalize'], boxes, image_sizes,
            self.torso, options['center'], least)
        return normalized, visible, has_density

    @staticmethod
    def _vectors(poses, visible):
        return poses.reshape(len(poses), -1), np.repeat(visible, 2, axis=1)

    def _fill(self, vectors, observed):
        if self.options['missing'] == 'zero':
            return vectors
        if self.options['missing'] == 'mean':
            return fill_with_mean(vectors, observed, self.fill)
        return conditional_mean(self.pca, vectors, observed)

    def _places(self, filled):
        return (filled - self.pca.mean_) @ self.pca.components_.T

    def _fit_axes(self, poses, visible) -> np.ndarray:
        """Fit the axes; returns the vectors of the poses, filled."""
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
        vectors, observed = self._vectors(poses, visible)
        filled = vectors
        if options['missing'] != 'zero':
            filled = fill_with_mean(vectors, observed)
            # what is filled in does not change the mean
            self.fill = filled.mean(0)
        rounds = (ROUNDS if options['missing'] == 'conditional'
                  and not observed.all() else 1)
        for _ in range(rounds):
            self.pca = PCA(options['components'], svd_solver='full'
                           ).fit(filled)
            if rounds == 1:
                break
            before, filled = filled, conditional_mean(self.pca, vectors,
                                                      observed)
            change = np.sqrt(np.mean((filled - before)[~observed]**2))
            if change < TOLERANCE * filled.std():
                break
        return filled[:count]

    # -- from places to densities

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
                pixels, in shape [N, 4]. By default the visible joints'.
            image_sizes (np.ndarray, optional): Width and height in pixels, in
                shape [N, 2]. Needed for ``normalize='image'``.
            joint_names (Sequence[str], optional): Needed for
                ``normalize='torso'``.
            flip_indices (Sequence[int], optional): For each joint the one of
                the other side. Needed for ``mirror=True``.
            device (str): Where densities are computed.
            progress (bool): Whether to show a bar.

        Returns:
            PoseDensity: Itself.

        Raises:
            UserError: If poses are not finite, too few, or all alike, or
                something needed is missing.
        """
        options = self.options
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
        self.bandwidth = self._find_bandwidth(places, device)
        held_out = self._density_under_others(places, device, progress)
        log_density = (held_out if options['leave_one_out'] else
                       self._with_itself(held_out, places))

        def of_all(values: np.ndarray, without: float) -> np.ndarray:
            result = np.full(len(has_density), without)
            result[has_density] = values
            return result

        self.held_out = of_all(held_out, np.nan)
        self.log_density = of_all(log_density, np.nan)
        self.weights = of_all(self._weigh(log_density), 1.)
        return self

    def _find_bandwidth(self, places: np.ndarray, device: str) -> float:
        options = self.options
        if options['bandwidth'] == 'scott':
            return scott_bandwidth(places)
        if options['bandwidth'] == 'loo':
            return loo_bandwidth(places, options['kernel'],
                                 self._mirror_places(places), device,
                                 options['seed'])
        return float(options['bandwidth'])

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

    def _with_itself(self, held_out: np.ndarray, places: np.ndarray
                     ) -> np.ndarray:
        """Add each pose's own kernel to its density under the others."""
        count, own = len(places), 1.
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

    def _weigh(self, log_density: np.ndarray) -> np.ndarray:
        options = self.options
        self.alpha = float(options['alpha'])
        if options['min_ess']:
            self.alpha = temper_to(log_density, self.alpha, options['clip'],
                                   options['min_ess'])
        weights = median_frequency_weights(log_density, self.alpha,
                                           options['clip'])
        return weights / weights.mean() if options['mean_one'] else weights

    def score(self, poses: np.ndarray, visible: np.ndarray, *,
              boxes: np.ndarray | None = None,
              image_sizes: np.ndarray | None = None,
              device: str = 'cpu') -> np.ndarray:
        """Log density of other poses under those that were fitted to.

        Arguments are as those of :meth:`fit`, of M poses.

        Returns:
            np.ndarray: In shape [M]; NaN where there are too few joints.

        Raises:
            UserError: If poses do not fit those of :meth:`fit`, or there are
                none yet.
        """
        if not hasattr(self, 'references'):
            raise UserError('PoseDensity has no density yet: call fit first')
        if (self.options['normalize'] == 'box' and
                self.with_boxes != (boxes is not None)):
            fitted, given = (
                'boxes' if each else 'the boxes of visible joints'
                for each in (self.with_boxes, boxes is not None))
            raise UserError(f'the density is of poses normalized by {fitted}, '
                            f'but these poses have {given}')
        normalized, visible, has_density = self._normalize(
            poses, visible, boxes, image_sizes)
        joints = len(self.pca.mean_) // 2
        if normalized.shape[1] != joints:
            raise UserError(
                f'the density is of poses of {joints} joints, but these have '
                f'{normalized.shape[1]}')
        scores = np.full(len(normalized), np.nan)
        if not has_density.any():
            return scores
        places = self._places(self._fill(*self._vectors(
            normalized[has_density], visible[has_density])))
        sums = log_kernel_sums(
            places, self.references, bandwidth=self.bandwidth,
            mirrored=self._mirror_places(self.references),
            kernel=self.options['kernel'], device=device)
        scores[has_density] = sums - self._log_norm(len(self.references))
        return scores

    # -- what to think of the weights

    def pose_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean pose and what each axis adds to it.

        Returns:
            tuple[np.ndarray]: The mean in shape [K, 2], and one standard
            deviation along each axis in shape [D, K, 2].
        """
        spread = self.pca.components_ * np.sqrt(
            self.pca.explained_variance_)[:, None]
        return (self.pca.mean_.reshape(-1, 2),
                spread.reshape(len(spread), -1, 2))
