"""MMEngine's checkpoints load with weights_only on."""

import pickle

from mmpose_wloss import compat

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import CheckpointLoader, checkpoint, load_checkpoint
from packaging.version import Version


def checkpoint_content():
    """What MMEngine's runner puts in a checkpoint."""
    hub = MessageHub.get_instance('test_compat')
    for step in range(5):
        hub.update_scalar('train/loss', 1 / (step + 1))
        hub.update_scalar('train/lr', np.float64(1e-3))
    hub.update_info('best_score', np.float32(0.5))
    hub.update_info('iter', 5)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return dict(
        meta=dict(epoch=1, iter=5, seed=np.int64(3), dataset_meta=dict(
            sigmas=np.arange(3, dtype=np.float32), flip_indices=[0, 2, 1],
            names=np.array(['nose', 'left', 'right']),
            lower=np.array([True]), weights=np.array([], np.float32))),
        state_dict=layer.state_dict(), optimizer=optimizer.state_dict(),
        message_hub=hub.state_dict())


def test_checkpoints_load_with_weights_only(tmp_path):
    content = checkpoint_content()
    file = tmp_path / 'epoch_1.pth'
    torch.save(content, file)
    if Version(torch.__version__) >= Version('2.6'):
        torch.serialization.clear_safe_globals()
        with pytest.raises(pickle.UnpicklingError, match='Weights only'):
            load_checkpoint(torch.nn.Linear(2, 2), str(file))
    compat.add_safe_globals()
    loaded = load_checkpoint(torch.nn.Linear(2, 2), str(file))
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert history.mean() == pytest.approx(np.mean([1, 1/2, 1/3, 1/4, 1/5]))
    assert loaded['message_hub']['runtime_info']['best_score'] == 0.5
    np.testing.assert_array_equal(
        loaded['meta']['dataset_meta']['sigmas'], np.arange(3))
    assert loaded['meta']['dataset_meta']['names'][1] == 'left'
    assert loaded['meta']['dataset_meta']['weights'].shape == (0, )
    torch.testing.assert_close(
        loaded['optimizer']['state'][0]['exp_avg'],
        content['optimizer']['state'][0]['exp_avg'])


class Command:
    """What runs a command where it is loaded without weights_only."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), 'w')


@pytest.mark.skipif(Version(torch.__version__) < Version('2.6'),
                    reason='torch loads everything by default before 2.6')
@pytest.mark.parametrize('fork', [False, True], ids=['as it is', 'fork'])
def test_what_is_not_listed_is_never_loaded(fork, tmp_path, monkeypatch):
    """Also beside onedl-mmengine, which loads again without weights_only."""
    if fork:
        monkeypatch.setattr(
            checkpoint, '_safe_torch_load', lambda file, **kwargs: torch.load(
                file, weights_only=False), raising=False)
        compat.keep_weights_only()
        load = checkpoint._safe_torch_load
    else:
        load = CheckpointLoader.load_checkpoint
    ran = tmp_path / 'ran'
    torch.save(dict(state_dict={}, extra=Command(ran)), tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError, match='Weights only'):
        load(str(tmp_path / 'evil.pth'), map_location='cpu')
    assert not ran.exists()
    torch.save(checkpoint_content(), tmp_path / 'good.pth')
    assert load(str(tmp_path / 'good.pth'), map_location='cpu')['meta'][
        'epoch'] == 1
