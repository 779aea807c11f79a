"""Kernel density of many points, exact, on the CPU or on a GPU.

Distances are float64, being differences of large squares, and the rest is
float32. Sums beyond float32's range are computed again in float64 logarithms.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from torch import Tensor
from tqdm import tqdm

from ..common.checks import one_of, positive
from ..common.errors import UserError

KERNELS = ('exponential', 'gaussian')
# pairs that fit into a core's cache, and that fill a GPU
BLOCKS = dict(cpu=512, cuda=8192)
# below it float32 has no normal numbers, with which processors are slow
SMALLEST_EXPONENT = -87.
# below it float32 loses digits
SMALLEST_SUM = 1e-30
# pairs at once, of those that are computed in logarithms
LOGARITHMS = 2**18
# poses over which the likelihood of a bandwidth is averaged
LIKELIHOOD_POSES = 4096


def log_kernel_norm(kernel: str, dimensions: int, bandwidth: float) -> float:
    """Logarithm of the kernel's integral over the space.

    Args:
        kernel (str): ``'exponential'``, :math:`e^{-r/h}`, or ``'gaussian'``,
            :math:`e^{-r^2/2h^2}`.
        dimensions (int): Of the space.
        bandwidth (float): :math:`h`.
    """
    one_of(KERNELS, kernel=kernel)
    half = dimensions / 2
    if kernel == 'gaussian':
        constant = half * math.log(2 * math.pi)
    else:
        sphere = math.log(2) + half * math.log(math.pi) - gammaln(half)
        constant = sphere + gammaln(dimensions)
    return float(constant + dimensions * math.log(bandwidth))


def _exponents(squared: Tensor, kernel: str) -> Tensor:
    """Logarithms of kernel values of squared distances, which they replace."""
    if kernel == 'gaussian':
        return squared.mul_(-0.5)
    return squared.clamp_(min=0).sqrt_().neg_()


class _Pairs:
    """Kernel values of two sets of points, block by block.

    One product of matrices makes a block's ``-2 x·y + |x|² + |y|²``.
    """

    def __init__(self, points: Tensor, references: Tensor, kernel: str):
        self.kernel = kernel
        self.device = points.device.type
        self.block = BLOCKS.get(self.device, BLOCKS['cpu'])
        # the center is near all of them, which leaves more digits
        center = references.mean(0)
        left, right = points - center, references - center
        left_squares, right_squares = (
            (each * each).sum(1, keepdim=True) for each in (left, right))
        self.left = torch.cat(
            [-2 * left, left_squares, torch.ones_like(left_squares)], 1)
        self.right = torch.cat(
            [right, torch.ones_like(right_squares), right_squares], 1
        ).T.contiguous()

    def blocks(self, rows: slice, first: int = 0
               ) -> Iterator[tuple[slice, Tensor]]:
        """The columns of each block of a row, and its values in float32.

        One block takes the memory of the one before.
        """
        left = self.left[rows]
        size = len(left) * self.block
        squares, memory = left.new_empty(size), left.new_empty(
            size, dtype=torch.float32)
        for start in range(first, self.right.shape[1], self.block):
            right = self.right[:, start:start + self.block]
            shape = len(left), right.shape[1]
            squared, values = (each[:shape[0] * shape[1]].view(shape)
                               for each in (squares, memory))
            values.copy_(torch.mm(left, right, out=squared))
            exponents = _exponents(values, self.kernel)
            yield (slice(start, start + shape[1]),
                   exponents.clamp_(min=SMALLEST_EXPONENT).exp_())

    def map_rows(self, function: Callable[[slice], Tensor], progress: bool
                 ) -> Iterator[tuple[slice, Tensor]]:
        """Apply a function to each row of blocks, on the CPU one a thread."""
        rows = [slice(start, start + self.block)
                for start in range(0, len(self.left), self.block)]
        with _threads(self.device) as pool:
            yield from zip(rows, tqdm(
                pool(function, rows), 'density', len(rows), unit='row',
                disable=not progress, mininterval=1), strict=True)


@contextlib.contextmanager
def _threads(device: str) -> Iterator[Callable]:
    """A ``map`` over threads, each of which computes small blocks alone."""
    count = torch.get_num_threads()
    if device != 'cpu' or count == 1:
        yield map
        return
    # what one thread sets holds for those that come later too
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads,
                            initargs=(1, )) as pool:
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(count)


def log_kernel_sums(points: np.ndarray, references: np.ndarray | None = None,
                    *, bandwidth: float, kernel: str = 'gaussian',
                    mirrored: np.ndarray | None = None,
                    own: np.ndarray | None = None, device: str = 'cpu',
                    progress: bool = False, moments: bool = False
                    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    r"""Logarithm of :math:`\sum_j K(|x_i - r_j| / h)`, with :math:`K(0) = 1`.

    Args:
        points (np.ndarray): The :math:`x_i` in shape [N, D].
        references (np.ndarray, optional): The :math:`r_j` in shape [M, D]; by
            default the points, each without its own kernel, at half the work.
        bandwidth (float): :math:`h`, above 0.
        kernel (str): ``'exponential'`` or ``'gaussian'``.
        mirrored (np.ndarray, optional): Mirror images of the references, in
            their shape, whose kernels are added to theirs.
        own (np.ndarray, optional): Index of the reference that each point's
            sum leaves out, with its mirror image, in shape [N]; -1 for none.
        device (str): Where to compute.
        progress (bool): Whether to show a bar.
        moments (bool): With references: whether to return the second result.

    Returns:
        np.ndarray: The logarithms, float64 in shape [N]; with ``moments`` also
        the sum of the terms' squares over the square of their sum.
    """
    one_of(KERNELS, kernel=kernel)
    positive(bandwidth=bandwidth)

    def scaled(each: np.ndarray) -> Tensor:
        each = np.asarray(each, np.float64) / bandwidth
        return torch.from_numpy(each).to(device)

    every = references is None
    points = scaled(points)
    images = [points if every else scaled(references)]
    if mirrored is not None:
        images.append(scaled(mirrored))
    pairs = [_Pairs(points, image, kernel) for image in images]
    if every:
        own = np.arange(len(points))
        sums = sum(_sums_of_all(each, progress) for each in pairs)
    else:
        sums, squares = _sums_of_rows(pairs, own, progress, moments)
    with np.errstate(divide='ignore', invalid='ignore'):
        logarithms = np.log(sums)
        spread = squares / sums**2 if moments else None
    small = np.flatnonzero(sums < SMALLEST_SUM)
    step = max(1, LOGARITHMS // len(images[0]))

    def in_logarithms(start: int) -> None:
        rows = small[start:start + step]
        # by differences: products of matrices lose digits of small distances
        values = [_exponents(torch.cdist(
            points[torch.from_numpy(rows)], image,
            compute_mode='donot_use_mm_for_euclid_dist').square_(), kernel)
            for image in images]
        values = torch.logaddexp(*values) if len(values) > 1 else values[0]
        _leave_out(values, None if own is None else own[rows], 0, -math.inf)
        sums = values.logsumexp(1)
        logarithms[rows] = sums.cpu().numpy()
        if moments:
            squares = (2 * values).logsumexp(1) - 2 * sums
            spread[rows] = squares.exp().cpu().numpy()

    with _threads(points.device.type) as pool:
        list(pool(in_logarithms, range(0, len(small), step)))
    return (logarithms, spread) if moments else logarithms


def _sums_of_all(pairs: _Pairs, progress: bool) -> np.ndarray:
    """Sums over all but the same row, of distances that are symmetric."""
    def of_row(rows: slice) -> Tensor:
        start = rows.start
        sums = pairs.left.new_zeros(len(pairs.left) - start)
        for columns, values in pairs.blocks(rows, start):
            if columns.start == start:
                values.fill_diagonal_(0)
            else:
                sums[columns.start - start:][:values.shape[1]] += values.sum(0)
            sums[:len(values)] += values.sum(1)
        return sums

    sums = pairs.left.new_zeros(len(pairs.left))
    for rows, result in pairs.map_rows(of_row, progress):
        sums[rows.start:] += result
    return sums.cpu().numpy()


def _leave_out(values: Tensor, own: np.ndarray | None, start: int,
               value: float) -> None:
    """Set the places of the references to leave out, counted from a start."""
    if own is None:
        return
    places = own - start
    rows = np.flatnonzero((places >= 0) & (places < values.shape[1]))
    if len(rows):
        values[torch.from_numpy(rows), torch.from_numpy(places[rows])] = value


def _sums_of_rows(pairs: list[_Pairs], own: np.ndarray | None, progress: bool,
                  moments: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sums of kernels and of their squares, mirror images with their own."""
    def of_row(rows: slice) -> Tensor:
        sums = pairs[0].left.new_zeros(2, len(pairs[0].left[rows]))
        for images in zip(*(each.blocks(rows) for each in pairs),
                          strict=True):
            (columns, values), *others = images
            for _, of_image in others:
                values += of_image
            _leave_out(values, None if own is None else own[rows],
                       columns.start, 0.)
            sums[0] += values.sum(1)
            if moments:  # squares leave float32's range where sums do not
                sums[1] += values.double().square_().sum(1)
        return sums

    results = [result for _, result in pairs[0].map_rows(of_row, progress)]
    sums, squares = torch.cat(results, 1).cpu().numpy()
    return sums, squares


def scott_bandwidth(points: np.ndarray) -> float:
    r"""Scott's rule, :math:`\sigma N^{-1/(D+4)}`, in the points' unit.

    Args:
        points (np.ndarray): In shape [N, D]; the root of their mean variance
            over dimensions is :math:`\sigma`.
    """
    count, dimensions = points.shape
    sigma = math.sqrt(points.var(0).mean())
    return sigma * count**(-1 / (dimensions + 4))


def loo_bandwidth(points: np.ndarray, kernel: str,
                  mirrored: np.ndarray | None = None, device: str = 'cpu',
                  seed: int = 0) -> float:
    """The bandwidth with the best leave-one-out likelihood.

    Args:
        points (np.ndarray): In shape [N, D].
        kernel (str): ``'exponential'`` or ``'gaussian'``.
        mirrored (np.ndarray, optional): The points' mirror images, in shape
            [N, D], which belong to the density; a point's own is left out.
        device (str): Where to compute.
        seed (int): Of more than 4,096 points, it draws those whose likelihood
            under all counts.

    Raises:
        UserError: If the likelihood has no maximum between a hundredth and
            ten times Scott's rule.
    """
    count, dimensions = points.shape
    own = np.arange(count)
    if count > LIKELIHOOD_POSES:
        own = np.sort(np.random.default_rng(seed).choice(
            count, LIKELIHOOD_POSES, replace=False))

    def cost(log_bandwidth: float) -> float:
        bandwidth = math.exp(log_bandwidth)
        sums = log_kernel_sums(
            points[own], points, mirrored=mirrored, bandwidth=bandwidth,
            kernel=kernel, own=own, device=device)
        return (log_kernel_norm(kernel, dimensions, bandwidth) -
                float(sums.mean()))

    scott = scott_bandwidth(points)
    low, high = math.log(scott / 100), math.log(scott * 10)
    best = minimize_scalar(cost, bounds=(low, high), method='bounded',
                           options=dict(xatol=0.01))
    if best.x - low < 0.05 or high - best.x < 0.05:
        raise UserError(
            "bandwidth='loo' finds no maximum of the leave-one-out likelihood "
            f'between {math.exp(low):.3g} and {math.exp(high):.3g}: many poses '
            "may be copies of others. Give a number or 'scott'")
    return math.exp(best.x)
