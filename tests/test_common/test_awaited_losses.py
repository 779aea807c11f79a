from mmpose_wloss.common import awaited_losses
from mmpose_wloss.common.awaited_losses import PATIENCE, AwaitedLosses
from mmpose_wloss.common.errors import UserError

import pytest


def test_a_name_that_never_comes(monkeypatch):
    told = []
    monkeypatch.setattr(awaited_losses, 'print_log', lambda line, *_: told.append(line))
    awaited = AwaitedLosses(['loss_a', 'loss_x'], 'Owner')
    for learning in (False, True):
        for _ in range(PATIENCE - 1):
            awaited.look_for(['loss_a'], 'Head', learning)
    line, = told
    message = r"Owner.*\['loss_x'\].*Head.*\['loss_a'\]"
    with pytest.raises(UserError, match=message):
        awaited.look_for(['loss_a'], 'Head')
    assert line.startswith("Owner looks for ['loss_x']")


def test_a_name_that_comes_late():
    awaited = AwaitedLosses(['loss_a'], 'Owner')
    awaited.look_for([], 'Head')
    awaited.look_for(['loss_a'], 'Head')
    for _ in range(PATIENCE):
        awaited.look_for([], 'Head')
