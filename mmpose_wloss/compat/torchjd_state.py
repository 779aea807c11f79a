"""State that torchjd's scalarizers keep in plain attributes.

DWA and FAMO have no public way to save it; it can go when their state dicts hold it.
"""

import torch
from torch import Tensor, nn
from torch.optim import Adam


def plain_state(scalarizer: nn.Module, like: Tensor) -> Tensor:
    """What no state dict of DWA or FAMO holds, in shape [4, T]; else zeros.

    Args:
        scalarizer (nn.Module): Of torchjd.
        like (Tensor): The losses in shape [T].
    """
    state = like.new_zeros(4, len(like))
    kind = type(scalarizer).__name__
    if kind == 'DWA' and scalarizer._loss_sum is not None:
        state[0], state[1] = scalarizer._loss_sum, scalarizer._n_batches
    if kind == 'DWA':
        for row, average in zip(state[2:], scalarizer._previous_averages,
                                strict=False):
            row.copy_(average)
    if kind == 'FAMO' and scalarizer._optimizer is not None:
        adam = scalarizer._optimizer.state[scalarizer._w]
        state[0], state[1], state[2] = (
            adam['exp_avg'], adam['exp_avg_sq'], adam['step'].item())
    return state


def restore_plain_state(scalarizer: nn.Module, state: Tensor,
                        losses: Tensor) -> None:
    """Give a scalarizer the state of :func:`plain_state`.

    Args:
        scalarizer (nn.Module): Of torchjd, of the same kind.
        state (Tensor): In shape [4, T].
        losses (Tensor): That it has seen last, in shape [T].
    """
    kind = type(scalarizer).__name__
    state = state.clone()
    if kind == 'DWA':
        count = int(state[1, 0])
        scalarizer._loss_sum = state[0] if count else None
        scalarizer._n_batches = count
        scalarizer._previous_averages = [row for row in state[2:] if row.any()]
    if kind == 'FAMO':
        scalarizer._prev_losses = losses.clone()
        scalarizer._optimizer = None
        if state[2, 0]:
            scalarizer._optimizer = Adam(
                [scalarizer._w], lr=scalarizer.lr,
                weight_decay=scalarizer.weight_decay)
            scalarizer._optimizer.state[scalarizer._w] = dict(
                step=torch.tensor(float(state[2, 0])), exp_avg=state[0],
                exp_avg_sq=state[1])
