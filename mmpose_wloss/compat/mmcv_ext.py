"""Stands in for ``mmcv._ext``, the compiled operators that mmcv-lite lacks.

mmpose and mmdet import ``mmcv.ops``, which asks this module for the name of
every operator. Non-maximum suppression, RoIAlign and deformable convolutions
are computed by torchvision, gradients included; whatever else is called raises
an error. It can go when mmpose imports its operators where it needs them.

The signatures are those of mmcv's C++ functions: results are written into
tensors of the caller.
"""

import torch
from torch import Tensor
from torchvision import ops


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Indices of the boxes that are kept, by falling score, in shape [M].

    Args:
        boxes (Tensor): x1, y1, x2, y2 in shape [N, 4].
        scores (Tensor): In shape [N].
        iou_threshold (float): Above it, the box of the lower score is dropped.
        offset (int): 1 where a box includes its right and lower edge, else 0.
    """
    boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv's is a 32 bit number: it decides where the overlap equals it
    return ops.nms(boxes, scores, torch.tensor(iou_threshold).item())


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor,
                      argmax_y: Tensor, argmax_x: Tensor, *,
                      pool_mode: int, **geometry) -> None:
    """Fill ``output`` [R, C, H', W'] from ``input`` [N, C, H, W]."""
    output.copy_(_roi_align(input, rois, pool_mode, **geometry))


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor,
                       argmax_x: Tensor, grad_input: Tensor, *,
                       pool_mode: int, **geometry) -> None:
    """Fill ``grad_input`` [N, C, H, W]."""
    # linear in its input: any input gives this gradient
    _backward(lambda input: _roi_align(input, rois, pool_mode, **geometry),
              [grad_input], [grad_input], grad_output)


def _roi_align(input: Tensor, rois: Tensor, pool_mode: int,
               aligned_height: int, aligned_width: int, spatial_scale: float,
               sampling_ratio: int, aligned: bool) -> Tensor:
    if pool_mode == 0:
        _missing('roi_align with pool_mode="max"')
    return ops.roi_align(input, rois, (aligned_height, aligned_width),
                         spatial_scale, sampling_ratio, aligned)


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor,
                        output: Tensor, columns: Tensor, ones: Tensor,
                        **geometry) -> None:
    """Fill ``output`` [N, C', H', W'] of a deformable convolution.

    Args:
        input (Tensor): In shape [N, C, H, W].
        weight (Tensor): In shape [C', C / groups, kH, kW].
        offset (Tensor): y and x of each tap, in shape [N, 2 G kH kW, H', W'].
    """
    output.copy_(_deform_conv(input, offset, weight, **geometry))


def deform_conv_backward_input(input: Tensor, offset: Tensor,
                               grad_output: Tensor, grad_input: Tensor,
                               grad_offset: Tensor, weight: Tensor,
                               columns: Tensor, **geometry) -> None:
    """Fill the gradients of input and offset."""
    offset = _off_the_edge(offset, weight, *(
        (geometry[f'{name}H'], geometry[f'{name}W'])
        for name in ('d', 'pad', 'dilation')))
    _backward(
        lambda input, offset: _deform_conv(input, offset, weight, **geometry),
        [input, offset], [grad_input, grad_offset], grad_output)


def deform_conv_backward_parameters(input: Tensor, offset: Tensor,
                                    grad_output: Tensor, grad_weight: Tensor,
                                    columns: Tensor, ones: Tensor, *,
                                    scale: float, **geometry) -> None:
    """Fill the gradient of the weight."""
    # linear in the weight: any weight gives this gradient
    _backward(lambda weight: _deform_conv(input, offset, weight, **geometry),
              [grad_weight], [grad_weight], grad_output * scale)


def _deform_conv(input: Tensor, offset: Tensor, weight: Tensor, *,
                 kW: int, kH: int, dW: int, dH: int, padW: int, padH: int,
                 dilationW: int, dilationH: int, group: int,
                 deformable_group: int, im2col_step: int) -> Tensor:
    # torchvision reads both numbers of groups from the shapes
    return ops.deform_conv2d(input, offset, weight, None, (dH, dW),
                             (padH, padW), (dilationH, dilationW))


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor,
                                  ones: Tensor, offset: Tensor, mask: Tensor,
                                  output: Tensor, columns: Tensor,
                                  **geometry) -> None:
    """Fill ``output`` of a deformable convolution with weights of the taps.

    Args:
        mask (Tensor): Weights of the taps, in shape [N, G kH kW, H', W'].
        bias (Tensor): In shape [C'], or empty.
    """
    output.copy_(_modulated_deform_conv(
        input, weight, bias, offset, mask, **geometry))


def modulated_deform_conv_backward(
        input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
        offset: Tensor, mask: Tensor, columns: Tensor, grad_input: Tensor,
        grad_weight: Tensor, grad_bias: Tensor, grad_offset: Tensor,
        grad_mask: Tensor, grad_output: Tensor, *, with_bias: bool,
        **geometry) -> None:
    """Fill the gradients of all that :func:`modulated_deform_conv_forward` takes."""
    offset = _off_the_edge(offset, weight, *(
        (geometry[f'{name}_h'], geometry[f'{name}_w'])
        for name in ('stride', 'pad', 'dilation')))

    def forward(input, weight, offset, mask, bias=bias):
        return _modulated_deform_conv(
            input, weight, bias, offset, mask, with_bias=with_bias, **geometry)

    _backward(forward, [input, weight, offset, mask, *[bias] * with_bias],
              [grad_input, grad_weight, grad_offset, grad_mask,
               *[grad_bias] * with_bias], grad_output)


def _modulated_deform_conv(
        input: Tensor, weight: Tensor, bias: Tensor, offset: Tensor,
        mask: Tensor, *, kernel_h: int, kernel_w: int, stride_h: int,
        stride_w: int, pad_h: int, pad_w: int, dilation_h: int,
        dilation_w: int, group: int, deformable_group: int,
        with_bias: bool) -> Tensor:
    return ops.deform_conv2d(
        input, offset, weight, bias if with_bias else None,
        (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), mask)


def _off_the_edge(offset: Tensor, weight: Tensor, stride: tuple[int, int],
                  padding: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
    """Offsets that give the gradients of mmcv.

    A tap at -1, where interpolation with the first pixel begins, has none in
    mmcv; torchvision gives it the slope on the image's side. With whole offsets,
    such as the zeros that training starts from, padding puts taps there.
    """
    rows, columns = (
        dilation[axis] * torch.arange(weight.shape[2 + axis])[:, None] +
        stride[axis] * torch.arange(offset.shape[2 + axis]) - padding[axis]
        for axis in (0, 1))
    places = torch.stack(torch.broadcast_tensors(
        rows[:, None, :, None], columns[:, None]), 2).flatten(0, 2)
    places = places.repeat(offset.shape[1] // len(places), 1, 1)
    at_edge = places.to(offset.device) + offset == -1
    # further out, all values and gradients are 0 in both
    return torch.where(at_edge, offset - 1, offset)


def _backward(function, inputs: list[Tensor], gradients: list[Tensor],
              grad_output: Tensor) -> None:
    """Fill the gradients of a function's inputs."""
    inputs = [input.detach().requires_grad_() for input in inputs]
    with torch.enable_grad():
        output = function(*inputs)
    for gradient, value in zip(
            gradients, torch.autograd.grad(output, inputs, grad_output),
            strict=True):
        gradient.copy_(value)


def get_compiler_version() -> str:
    return 'none: torchvision stands in (mmpose_wloss)'


def get_compiling_cuda_version() -> str:
    return 'none'


def _missing(operator: str) -> None:
    raise NotImplementedError(
        f'The operator {operator} of mmcv is compiled code, which this '
        'installation lacks (torchvision stands in for nms, roi_align and '
        'deformable convolutions alone). To install mmcv with it: pip '
        'uninstall -y mmcv-lite, then mim install "mmcv>=2.0.0,<2.2.0", or '
        'from source: MMCV_WITH_OPS=1 pip install --no-build-isolation '
        '"mmcv>=2.0.0,<2.2.0"')


def __getattr__(name: str):
    """Any operator, for the check of names; it raises when it is called."""
    if name.startswith('__'):
        raise AttributeError(f'{__name__} has no {name}')

    def operator(*args, **kwargs):
        _missing(name)

    operator.__name__ = name
    return operator
