"""MMEngine's checkpoints load, and a training resumes, with weights_only on."""

import pickle
import re
import subprocess
import sys

from mmpose_wloss import compat

import numpy as np
import pytest
import torch
from packaging.version import Version


def checkpoint_content():
    """What MMEngine's runner puts in a checkpoint."""
    from mmengine.logging import MessageHub

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
        meta=dict(epoch=1, iter=5, seed=np.int64(3),
                  dataset_meta=dict(sigmas=np.arange(3, dtype=np.float32),
                                    flip_indices=[0, 2, 1],
                                    names=np.array(['nose', 'left', 'right']),
                                    lower=np.array([True]))),
        state_dict=layer.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=hub.state_dict())


def test_checkpoints_load_with_weights_only(tmp_path):
    from mmengine.runner.checkpoint import load_checkpoint

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
    from mmengine.runner import CheckpointLoader, checkpoint

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


def test_a_training_resumes(tmp_path):
    """A run of MMEngine's own runner, interrupted and resumed."""
    script = tmp_path / 'train.py'
    script.write_text(TRAINING)
    for arguments, line in ((['2'], 'ended at 2'), (['4', 'resume'],
                                                    'resumed epoch: 2')):
        run = subprocess.run(
            [sys.executable, script, *arguments], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert run.returncode == 0, run.stdout[-3000:]
        assert re.search(line, run.stdout), run.stdout[-3000:]
    assert (tmp_path / 'work' / 'epoch_4.pth').exists()


TRAINING = '''
import sys
import torch
from torch.utils.data import Dataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
import mmpose_wloss


class Points(Dataset):
    metainfo = dict(name='points')

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.full((2, ), float(index)))


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        value = self.layer(torch.stack(list(inputs)))
        return dict(loss=(value ** 2).mean()) if mode == 'loss' else [value]


class Mean(BaseMetric):
    def process(self, batch, samples):
        self.results.append(float(samples[0].detach().mean()))

    def compute_metrics(self, results):
        import numpy as np
        return dict(score=np.mean(results))


loader = dict(dataset=Points(), batch_size=4, num_workers=0,
              sampler=dict(type='DefaultSampler', shuffle=True))
runner = Runner(
    Model(), 'work', train_dataloader=loader, val_dataloader=loader,
    val_evaluator=Evaluator(Mean()), val_cfg=dict(),
    train_cfg=dict(by_epoch=True, max_epochs=int(sys.argv[1])),
    optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-3)),
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1,
                                       save_best='score', rule='greater')),
    randomness=dict(seed=0), resume='resume' in sys.argv)
runner.train()
print('ended at', runner.epoch)
'''
