"""Kernel density of many points, exact, on the CPU or on a GPU.

Distances are computed in float64, since the difference of two large squares
is taken, and everything after in float32; a point whose kernel sum leaves
float32's range is computed once more, in float64 and in logarithms.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from torch import Tensor
from tqdm import tqdm

KERNELS = ('exponential', 'gaussian')
# pairs that fit into a core's cache, and that fill a GPU
BLOCKS = {'cpu': 512, 'cuda': 8192}
# below it float32 has no normal numbers, with which processors are slow
SMALLEST_EXPONENT = -87.
# below it float32 loses digits
SMALLEST_SUM = 1e-30
# poses over which the likelihood of a bandwidth is averaged
LIKELIHOOD_POSES = 4096


def check_kernel(kernel: str) -> None:
    """Raise a ValueError unless it is one of ``KERNELS``."""
    if kernel not in KERNELS:
        raise ValueError(f'kernel must be one of {KERNELS}, but it is '
                         f'{kernel!r}')


def log_kernel_norm(kernel: str, dimensions: int, bandwidth: float) -> float:
    """Logarithm of the kernel's integral over the space.

    Args:
        kernel (str): ``'exponential'``, :math:`e^{-r/h}`, or ``'gaussian'``,
            :math:`e^{-r^2/2h^2}`.
        dimensions (int): Of the space.
        bandwidth (float): :math:`h`.

    Returns:
        float: The logarithm.
    """
    check_kernel(kernel)
    half = dimensions / 2
    if kernel == 'gaussian':
        constant = half * math.log(2 * math.pi)
    else:
        sphere = math.log(2) + half * math.log(math.pi) - gammaln(half)
        constant = sphere + gammaln(dimensions)
    return float(constant + dimensions * math.log(bandwidth))


class _Pairs:
    """Kernel values of two sets of points, block by block.

    Of a block's squared distances, ``-2 x·y + |x|² + |y|²``, one product of
    matrices with two more columns makes the whole.
    """

    def __init__(self, points: np.ndarray, references: np.ndarray,
                 kernel: str, device: str):
        self.kernel = kernel
        self.device = torch.device(device)
        self.block = BLOCKS.get(self.device.type, BLOCKS['cpu'])
        # the center is near all of them, which leaves more digits
        center = torch.from_numpy(references.mean(0))
        left, right = (torch.from_numpy(np.ascontiguousarray(each)) - center
                       for each in (points, references))
        squares = [(each * each).sum(1, keepdim=True)
                   for each in (left, right)]
        ones = [torch.ones_like(each) for each in squares]
        self.left = torch.cat([-2 * left, squares[0], ones[0]], 1).to(
            self.device)
        self.right = torch.cat([right, ones[1], squares[1]], 1).T.contiguous(
        ).to(self.device)

    def map_rows(self, function: Callable[['_Row'], Any], progress: bool,
                 first: Callable[[int], int] = lambda start: 0
                 ) -> Iterator[tuple['_Row', Any]]:
        """Apply a function to each row of blocks, one row a thread."""
        count, columns = len(self.left), self.right.shape[1]
        starts = range(0, count, self.block)
        rows = [_Row(self, slice(start, start + self.block))
                for start in starts]
        pairs = [min(self.block, count - start) * (columns - first(start))
                 for start in starts]
        threads = torch.get_num_threads() if self.device.type == 'cpu' else 1
        with (tqdm(total=sum(pairs), unit='pair', unit_scale=True,
                   desc='density', disable=not progress,
                   mininterval=1) as bar,
              _threads(threads) as pool):
            for row, of_row, result in zip(rows, pairs, pool(function, rows),
                                           strict=True):
                bar.update(of_row)
                yield row, result


class _Row:
    """A row of blocks, whose memory serves one block after the other."""

    def __init__(self, pairs: _Pairs, part: slice):
        self.pairs = pairs
        self.part = part

    def blocks(self, first: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """The columns of each block and its squared distances, in float64."""
        pairs = self.pairs
        left = pairs.left[self.part]
        memory = left.new_empty(len(left) * pairs.block)
        for start in range(first, pairs.right.shape[1], pairs.block):
            right = pairs.right[:, start:start + pairs.block]
            shape = len(left), right.shape[1]
            out = memory[:shape[0] * shape[1]].view(shape)
            yield (slice(start, start + shape[1]),
                   torch.mm(left, right, out=out))

    def kernel_values(self, first: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """The columns of each block and its values, in float32."""
        memory = None
        for columns, squared in self.blocks(first):
            if memory is None:
                memory = torch.empty(squared.numel(), device=squared.device)
            values = memory[:squared.numel()].view(squared.shape)
            values.copy_(squared)
            if self.pairs.kernel == 'gaussian':
                values.mul_(-0.5)
            else:
                values.clamp_(min=0).sqrt_().neg_()
            yield columns, values.clamp_(min=SMALLEST_EXPONENT).exp_()

    def log_kernel_values(self) -> Iterator[tuple[slice, Tensor]]:
        """The columns of each block and its values' logarithms in float64."""
        for columns, squared in self.blocks():
            if self.pairs.kernel == 'gaussian':
                yield columns, squared * -0.5
            else:
                yield columns, squared.clamp(min=0).sqrt().neg()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[Callable]:
    """A ``map`` over threads of which each computes alone.

    Blocks are too small to be worth the threads' meeting after each step.
    """
    if count == 1:
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


def log_kernel_sums(points: np.ndarray,
                    references: np.ndarray | None = None,
                    *,
                    bandwidth: float,
                    kernel: str = 'gaussian',
                    mirrored: np.ndarray | None = None,
                    own: np.ndarray | None = None,
                    device: str = 'cpu',
                    progress: bool = False,
                    moments: bool = False
                    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    r"""Logarithm of :math:`\sum_j K(|x_i - r_j| / h)`, with :math:`K(0) = 1`.

    Args:
        points (np.ndarray): The :math:`x_i` in shape [N, D].
        references (np.ndarray, optional): The :math:`r_j` in shape [M, D].
            Defaults to ``None``: the points themselves, each without its own
            kernel, for which half of the pairs need to be computed.
        bandwidth (float): :math:`h`, above 0.
        kernel (str): ``'exponential'`` or ``'gaussian'``. Defaults to
            ``'gaussian'``.
        mirrored (np.ndarray, optional): Mirror images of the references (or
            points) in the same shape: each term is then :math:`K(|x_i - r_j|
            / h) + K(|x_i - r_j'| / h)`. Defaults to ``None``.
        own (np.ndarray, optional): Index of the reference to leave out of
            each point's sum in shape [N], with its mirror image; -1 leaves out
            none. Defaults to ``None``: none.
        device (str): Where to compute. Defaults to ``'cpu'``.
        progress (bool): Whether to show a bar. Defaults to ``False``.
        moments (bool): With references: whether to return the terms' squares
            too. Defaults to ``False``.

    Returns:
        np.ndarray: The logarithms, float64 in shape [N]; with ``moments`` also
        the sum of the terms' squares over the square of their sum, in the same
        shape.
    """
    check_kernel(kernel)
    if not bandwidth > 0:
        raise ValueError(f'bandwidth must be above 0, but it is {bandwidth}')
    points = np.asarray(points, np.float64) / bandwidth
    images = [points if references is None else
              np.asarray(references, np.float64) / bandwidth]
    if mirrored is not None:
        images.append(np.asarray(mirrored, np.float64) / bandwidth)
    pairs = [_Pairs(points, image, kernel, device) for image in images]
    if references is None:
        sums, squares = sum(_sums_of_all(each, progress)
                            for each in pairs), None
        own = np.arange(len(points))
    else:
        sums, squares = _sums_of_rows(pairs, own, progress, moments)
    with np.errstate(divide='ignore', invalid='ignore'):
        logarithms = np.log(sums)
        spread = squares / sums**2 if moments else None
    small = np.flatnonzero(sums < SMALLEST_SUM)
    if len(small):
        pairs = [_Pairs(points[small], image, kernel, device)
                 for image in images]
        logarithms[small], of_small = _log_sums_of_rows(
            pairs, None if own is None else own[small])
        if moments:
            spread[small] = of_small
    return (logarithms, spread) if moments else logarithms


def _sums_of_all(pairs: _Pairs, progress: bool) -> np.ndarray:
    """Sums over all but the same row, of distances that are symmetric."""
    count = len(pairs.left)

    def of_row(row: _Row) -> Tensor:
        start = row.part.start
        sums = torch.zeros(count - start, dtype=torch.float64,
                           device=pairs.device)
        for columns, values in row.kernel_values(start):
            if columns.start == start:
                values.fill_diagonal_(0)
            else:
                sums[columns.start - start:columns.stop - start] += values.sum(
                    0)
            sums[:len(values)] += values.sum(1)
        return sums

    sums = torch.zeros(count, dtype=torch.float64, device=pairs.device)
    for row, result in pairs.map_rows(of_row, progress, lambda start: start):
        sums[row.part.start:] += result
    return sums.cpu().numpy()


def _leave_out(values: Tensor, own: np.ndarray | None, row: _Row,
               columns: slice, value: float) -> None:
    """Set the places of the references to leave out."""
    if own is None:
        return
    places = own[row.part] - columns.start
    rows = np.flatnonzero((places >= 0) & (places < values.shape[1]))
    if len(rows):
        values[torch.from_numpy(rows), torch.from_numpy(places[rows])] = value


def _sums_of_rows(pairs: list[_Pairs], own: np.ndarray | None, progress: bool,
                  moments: bool) -> tuple[np.ndarray, np.ndarray | None]:
    first, *others = pairs

    def of_row(row: _Row) -> Tensor:
        sums = first.left.new_zeros(2, len(first.left[row.part]))
        images = [_Row(each, row.part).kernel_values() for each in others]
        for (columns, values), *more in zip(row.kernel_values(), *images,
                                            strict=True):
            for _, of_image in more:
                values += of_image
            _leave_out(values, own, row, columns, 0.)
            sums[0] += values.sum(1)
            if moments:  # squares leave float32's range where sums do not
                sums[1] += values.double().square_().sum(1)
        return sums

    sums, squares = torch.cat([
        result for _, result in first.map_rows(of_row, progress)
    ], 1).cpu().numpy()
    return sums, squares if moments else None


def _log_sums_of_rows(pairs: list[_Pairs], own: np.ndarray | None
                      ) -> tuple[np.ndarray, np.ndarray]:
    first, *others = pairs

    def of_row(row: _Row) -> Tensor:
        sums = first.left.new_full((2, len(first.left[row.part])), -math.inf)
        images = [_Row(each, row.part).log_kernel_values() for each in others]
        for (columns, values), *more in zip(row.log_kernel_values(), *images,
                                            strict=True):
            for _, of_image in more:
                values = torch.logaddexp(values, of_image)
            _leave_out(values, own, row, columns, -math.inf)
            sums = torch.logaddexp(sums, torch.stack(
                [(power * values).logsumexp(1) for power in (1, 2)]))
        return sums

    sums, squares = torch.cat([
        result for _, result in first.map_rows(of_row, False)
    ], 1).cpu()
    return sums.numpy(), (squares - 2 * sums).exp().numpy()


def scott_bandwidth(points: np.ndarray) -> float:
    r"""Scott's rule, :math:`\sigma N^{-1/(D+4)}`.

    Args:
        points (np.ndarray): In shape [N, D].

    Returns:
        float: With the root of the mean variance over dimensions as
        :math:`\sigma`, in the unit of the points.
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
            [N, D], which belong to the density too; a point is left out with
            its own. Defaults to ``None``.
        device (str): Where to compute. Defaults to ``'cpu'``.
        seed (int): Of more than 4,096 points the likelihood is that of so
            many, drawn by this seed, under all. Defaults to 0.

    Returns:
        float: The bandwidth.

    Raises:
        ValueError: If the likelihood has no maximum between a hundredth and
            ten times Scott's rule.
    """
    count, dimensions = points.shape
    own = np.arange(count)
    if count > LIKELIHOOD_POSES:
        own = np.sort(np.random.default_rng(seed).choice(
            count, LIKELIHOOD_POSES, replace=False))
    queries = points[own]
    scott = scott_bandwidth(points)

    def cost(log_bandwidth: float) -> float:
        bandwidth = math.exp(log_bandwidth)
        sums = log_kernel_sums(
            queries, points, mirrored=mirrored, bandwidth=bandwidth,
            kernel=kernel, own=own, device=device)
        return (log_kernel_norm(kernel, dimensions, bandwidth) -
                float(sums.mean()))

    low, high = math.log(scott / 100), math.log(scott * 10)
    best = minimize_scalar(cost, bounds=(low, high), method='bounded',
                           options=dict(xatol=0.01))
    if best.x - low < 0.05 or high - best.x < 0.05:
        raise ValueError(
            "bandwidth='loo' finds no maximum of the leave-one-out likelihood "
            f'between {math.exp(low):.3g} and {math.exp(high):.3g}: many poses '
            "may be copies of others. Give a number or 'scott'")
    return math.exp(best.x)
