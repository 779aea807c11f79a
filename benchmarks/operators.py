"""Operators of torchvision that stand in for mmcv's, beside mmcv compiled.

Both in one process, called by mmcv's own classes: output and all gradients of
the same random tensors. A relative difference is the largest one over the
largest value of the compiled operator's tensor; both of a row are the worst of
its cases. Times are forward and backward of a call as large as in a network;
rounds go over both in turn, every other one backwards, and a ratio is the
median over rounds of the stand-in over compiled, with its quartiles.
"""

import argparse
import itertools
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import mmpose_wloss
from mmpose_wloss.compat import mmcv_ext as stand_in
from mmpose_wloss.compat.stand_ins import is_stand_in

import mmcv
import torch
import torchvision
from json_rows import write_rows
from loss_overhead import measure
from mmcv import ops
from tabulate import tabulate
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'operators.json'
TOLERANCE = 1e-5
MODULES = [sys.modules[f'mmcv.ops.{name}'] for name in (
    'nms', 'roi_align', 'deform_conv', 'modulated_deform_conv')]
CPU = torch.device('cpu')


class Case(NamedTuple):
    """A call of an operator.

    Args:
        call (Callable): Takes the tensors; gives a tensor or a tuple of them.
        tensors (Dict[str, Tensor]): By the names that gradients are told by.
        gradients (bool): Whether the operator has any.
    """

    call: Callable
    tensors: dict[str, Tensor]
    gradients: bool = True


def use(extension) -> None:
    """Let mmcv's classes call the operators of this module."""
    for module in MODULES:
        module.ext_module = extension


def random_boxes(count: int, size: float, dtype: torch.dtype) -> Tensor:
    """Boxes of which many overlap, some beyond the image."""
    corner = size * torch.rand(count, 2, dtype=dtype) - 0.1 * size
    return torch.cat([corner, corner + 0.6 * size * torch.rand(
        count, 2, dtype=dtype)], 1)


def nms_cases(dtype: torch.dtype) -> Iterator[Case]:
    for offset, threshold, score, most, count in itertools.product(
            (0, 1), (0.3, 0.5, 0.7), (0, 0.4), (-1, 7), (0, 1, 300)):
        scores, drawn = torch.rand(count, dtype=dtype), random_boxes(
            count, 40, dtype)
        for boxes in (drawn, drawn.round()):
            yield Case(
                lambda boxes, scores, settings=(threshold, offset, score, most):
                ops.nms(boxes, scores, *settings),
                dict(boxes=boxes, scores=scores), False)
    # overlaps are 0.1, 0.2 … 1 and equal the threshold
    edges = torch.arange(1., 11, dtype=dtype)
    boxes = torch.stack([0 * edges, 0 * edges, edges, 0 * edges + 10], 1)
    for tenth in range(1, 10):
        yield Case(lambda boxes, scores, threshold=tenth / 10:
                   ops.nms(boxes, scores, threshold),
                   dict(boxes=boxes, scores=edges / 10), False)


def batched_nms_cases(dtype: torch.dtype) -> Iterator[Case]:
    for offset, agnostic, split in itertools.product(
            (0, 1), (False, True), (10000, 100)):
        classes = torch.randint(5, (300, ))
        settings = dict(iou_threshold=0.5, offset=offset, split_thr=split,
                        max_num=50)
        yield Case(
            lambda boxes, scores, classes=classes, settings=settings,
            agnostic=agnostic: ops.batched_nms(
                boxes, scores, classes, settings, agnostic),
            dict(boxes=random_boxes(300, 40, dtype),
                 scores=torch.rand(300, dtype=dtype)), False)


def roi_align_case(dtype: torch.dtype, size: int, count: int, channels: int,
                   output, *settings) -> Case:
    boxes = random_boxes(count, 4 * size, dtype)
    rois = torch.cat([torch.randint(2, (count, 1)).to(dtype), boxes], 1)
    return Case(
        lambda input: ops.roi_align(input, rois, output, *settings),
        dict(input=torch.randn(2, channels, size, size + 5, dtype=dtype)))


def roi_align_cases(dtype: torch.dtype) -> Iterator[Case]:
    for aligned, sampling, scale, output, count in itertools.product(
            (False, True), (0, 2), (1 / 16, 1 / 4, 1.), (1, 7, (3, 5)), (0, 20)):
        yield roi_align_case(dtype, 16, count, 3, output, scale, sampling,
                             'avg', aligned)


def deform_case(dtype: torch.dtype, modulated: bool, bias: bool, *,
                kernel: int, stride: int = 1, padding: int = 1,
                dilation: int = 1, groups: int = 1, deform_groups: int = 1,
                batch: int = 3, channels: int = 8, size: int = 11,
                shift: float = 2.) -> Case:
    """Offsets are normal with this deviation: many taps leave the image."""
    def random(*shape):
        return torch.randn(*shape, dtype=dtype)

    height, width = (
        (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for length in (size, size + 3))
    taps = deform_groups * kernel**2
    tensors = dict(input=random(batch, channels, size, size + 3),
                   offset=shift * random(batch, 2 * taps, height, width))
    if modulated:
        tensors['mask'] = torch.rand(batch, taps, height, width, dtype=dtype)
    tensors['weight'] = random(channels, channels // groups, kernel, kernel)
    if bias:
        tensors['bias'] = random(channels)
    geometry = (stride, padding, dilation, groups, deform_groups)
    if not modulated:
        return Case(lambda input, offset, weight: ops.deform_conv2d(
            input, offset, weight, *geometry, False, batch), tensors)
    return Case(
        lambda input, offset, mask, weight, bias=None:
        ops.modulated_deform_conv2d(input, offset, mask, weight, bias, *geometry),
        tensors)


def deform_cases(dtype: torch.dtype, modulated: bool = False,
                 bias: bool = False) -> Iterator[Case]:
    for kernel, stride, padding, dilation, groups, deform_groups in \
            itertools.product((1, 3, 5), (1, 2), (0, 2), (1, 2), (1, 4), (1, 2)):
        yield deform_case(
            dtype, modulated, bias, kernel=kernel, stride=stride,
            padding=padding, dilation=dilation, groups=groups,
            deform_groups=deform_groups)
    # whole offsets meet pixels and the very edge of the image
    for shift in (0., 1.):
        case = deform_case(dtype, modulated, bias, kernel=3, shift=shift)
        case.tensors['offset'].round_()
        yield case


def pack_cases(dtype: torch.dtype, layer: Callable) -> Iterator[Case]:
    for kernel, stride, groups, deform_groups in itertools.product(
            (1, 3), (1, 2), (1, 4), (1, 2)):
        module = layer(8, 8, kernel, stride, padding=1, groups=groups,
                       deform_groups=deform_groups).to(dtype)
        tensors = {name: torch.randn(each.shape, dtype=dtype) / 3
                   for name, each in module.named_parameters()}
        yield Case(
            lambda input, module=module, **parameters:
            torch.func.functional_call(module, parameters, (input, )),
            dict(input=torch.randn(2, 8, 9, 12, dtype=dtype), **tensors))


LARGE = dict(kernel=3, batch=2, channels=64, size=64)
# each operator: its cases, and a call of the size that networks have
OPERATORS = {
    'nms': (nms_cases, lambda dtype: Case(
        lambda boxes, scores: ops.nms(boxes, scores, 0.5),
        dict(boxes=random_boxes(1000, 400, dtype),
             scores=torch.rand(1000, dtype=dtype)), False)),
    'batched_nms': (batched_nms_cases, lambda dtype: next(
        batched_nms_cases(dtype))),
    'roi_align': (roi_align_cases, lambda dtype: roi_align_case(
        dtype, 64, 100, 64, 7, 1 / 4, 0, 'avg', True)),
    'deform_conv2d': (deform_cases, lambda dtype: deform_case(
        dtype, False, False, **LARGE)),
    'modulated_deform_conv2d': (
        lambda dtype: deform_cases(dtype, True),
        lambda dtype: deform_case(dtype, True, False, **LARGE)),
    'modulated_deform_conv2d, bias': (
        lambda dtype: deform_cases(dtype, True, True),
        lambda dtype: deform_case(dtype, True, True, **LARGE)),
    'DeformConv2dPack': (
        lambda dtype: pack_cases(dtype, ops.DeformConv2dPack), None),
    'ModulatedDeformConv2dPack': (
        lambda dtype: pack_cases(dtype, ops.ModulatedDeformConv2dPack), None),
}


def results(case: Case) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Outputs and, by the tensor's name, gradients."""
    inputs = {name: tensor.clone().requires_grad_(case.gradients)
              for name, tensor in case.tensors.items()}
    output = case.call(**inputs)
    if not case.gradients:
        return list(output), {}
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(output.shape, generator=generator,
                          dtype=torch.float64).to(output)
    gradients = torch.autograd.grad(output, list(inputs.values()), weights)
    return [output.detach()], dict(zip(inputs, gradients, strict=True))


def difference(ours: Tensor, theirs: Tensor) -> dict:
    """The largest difference, and over the largest of their values."""
    if ours.shape != theirs.shape:
        return dict(relative=float('inf'), absolute=float('inf'))
    if not ours.numel():
        return dict(relative=0., absolute=0.)
    absolute = (ours - theirs).abs().max().item()
    largest = theirs.abs().max().item()
    return dict(relative=absolute / largest if absolute else 0.,
                absolute=absolute)


def worst(differences: list[dict]) -> dict | None:
    return {kind: max(each[kind] for each in differences)
            for kind in ('relative', 'absolute')} if differences else None


def compare(name: str, dtype: torch.dtype, compiled) -> dict:
    """A row: the worst of an operator's cases, output and gradients."""
    torch.manual_seed(0)
    outputs, gradients, cases = [], {}, 0
    for case in OPERATORS[name][0](dtype):
        both = []
        for extension in (stand_in, compiled):
            use(extension)
            both.append(results(case))
        (ours, our_gradients), (theirs, their_gradients) = both
        outputs += map(difference, ours, theirs)
        for tensor, gradient in our_gradients.items():
            gradients.setdefault(tensor, []).append(
                difference(gradient, their_gradients[tensor]))
        cases += 1
    return dict(operator=name, dtype=str(dtype).removeprefix('torch.'),
                cases=cases, output=worst(outputs),
                gradients={tensor: worst(each)
                           for tensor, each in gradients.items()})


def times(name: str, rounds: int, compiled) -> dict:
    case = OPERATORS[name][1](torch.float32)

    def run(extension):
        def function():
            use(extension)
            results(case)
        return function

    seconds = measure(dict(stand_in=run(stand_in), compiled=run(compiled)),
                      rounds, CPU, name)
    low, ratio, high = statistics.quantiles(
        [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)],
        n=4)
    return dict(ratio=ratio, quartiles=[low, high], milliseconds={
        each: 1e3 * statistics.median(values)
        for each, values in seconds.items()})


def text(values: dict | None, kind: str) -> str:
    return '' if values is None else f'{values[kind]:.1e}'



def processor_name() -> str:
    """What the processor calls itself."""
    information = Path('/proc/cpuinfo')
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    if is_stand_in('mmcv._ext'):
        parser.exit(1, 'mmcv is installed without its compiled operators: '
                    'there is nothing to compare with. It needs an environment '
                    'with them: MMCV_WITH_OPS=1 pip install '
                    '--no-build-isolation "mmcv>=2.0.0,<2.2.0"\n')
    from mmcv import _ext as compiled
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0]
    # mmcv compiled has float32 boxes alone on a CPU
    rows = [compare(name, dtype, compiled) for name in OPERATORS
            for dtype in (torch.float32, torch.float64)
            if dtype == torch.float32 or 'nms' not in name]
    for row in rows:
        if row['dtype'] == 'float32' and OPERATORS[row['operator']][1]:
            row['time'] = times(row['operator'], args.rounds, compiled)

    table = []
    for row in rows:
        gradients = worst(list(row['gradients'].values()))
        time = row.get('time')
        table.append([
            row['operator'], row['dtype'], row['cases'],
            *(text(values, kind) for values in (row['output'], gradients)
              for kind in ('relative', 'absolute')),
            time and '{:.2f} ({:.2f} … {:.2f})'.format(
                time['ratio'], *time['quartiles'])])
    print(tabulate(table, [
        'operator', 'dtype', 'cases', 'output, relative', 'absolute',
        'gradients, relative', 'absolute', 'time, over compiled'],
        tablefmt='github', disable_numparse=True))
    largest = max(values['relative'] for row in rows
                  for values in (row['output'], *row['gradients'].values()))
    within = largest <= TOLERANCE
    versions = dict(torch=torch.__version__, torchvision=torchvision.__version__,
                    mmcv=mmcv.__version__, python=platform.python_version(),
                    mmpose_wloss=mmpose_wloss.__version__)
    print(f'\n{sum(row["cases"] for row in rows)} cases, largest relative '
          f'difference {largest:.1e}: {"within" if within else "ABOVE"} '
          f'{TOLERANCE:.0e}\n{processor_name()}, {args.threads} threads, load '
          f'{load:.1f} before and {os.getloadavg()[0]:.1f} after; {versions}')
    write_rows(RESULTS, dict(
        format=1, tolerance=TOLERANCE, largest_relative=largest, rows=rows,
        processor=processor_name(), threads=args.threads, rounds=args.rounds,
        load=[load, os.getloadavg()[0]], versions=versions))
    sys.exit(not within)


if __name__ == '__main__':
    main()
