"""Tests of ``compat.py`` alone: they also run beside an incomplete stack."""

import importlib.util
import pickle
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def load_compat():
    spec = importlib.util.spec_from_file_location(
        'compat', ROOT / 'mmpose_wloss' / 'compat.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compat = load_compat()


@pytest.fixture
def stack(monkeypatch):
    """A stack that fits, as a dictionary of versions to change."""
    versions = {'torch': '2.1.2+cu121', 'mmengine': '0.10.7', 'mmcv': '2.1.0',
                'mmpose': '1.3.2', 'mmdet': '3.3.0'}

    def version(distribution):
        if versions.get(distribution) is None:
            raise metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    operators = {'mmcv._ext': object()}
    monkeypatch.setattr(compat.metadata, 'version', version)
    monkeypatch.setattr(compat.importlib.util, 'find_spec', operators.get)
    versions['operators'] = operators
    return versions


def test_a_stack_that_fits(stack):
    compat.check_stack()
    stack['torch'] = '2.13.0'
    compat.check_stack()


def test_the_oldest_mmpose_needs_neither_mmdet_nor_operators(stack):
    del stack['mmcv'], stack['mmdet'], stack['operators']['mmcv._ext']
    stack['mmcv-lite'] = '2.1.0'
    stack['mmpose'] = '1.1.0'
    compat.check_stack()


@pytest.mark.parametrize('package, found', [
    ('torch', '2.0.1'), ('torch', None), ('mmengine', '0.10.2'),
    ('mmcv', '2.2.0'), ('mmcv', None), ('mmpose', '1.0.0'),
    ('mmpose', '1.4.0'), ('mmpose', None), ('mmdet', '3.4.0'),
    ('mmdet', None)])
def test_one_error_says_what_does_not_fit(stack, package, found):
    stack[package] = found
    with pytest.raises(ImportError) as error:
        compat.check_stack()
    text = str(error.value)
    assert text.startswith(f'{package} ')
    assert (found or 'is not installed') in text
    needed = {r.module: r for r in (*compat.REQUIREMENTS, compat.MMDET)}[package]
    assert needed.versions in text
    assert needed.install in text
    assert '\n' not in text


def test_all_that_does_not_fit_is_named_at_once(stack):
    stack['mmcv'], stack['torch'] = None, '1.13.0'
    with pytest.raises(compat.StackError, match='(?s)torch 1.13.0.*mmcv is not'):
        compat.check_stack()


def test_mmcv_without_operators(stack):
    del stack['operators']['mmcv._ext']
    with pytest.raises(compat.StackError, match='mmcv._ext.*To mend it: pip'):
        compat.check_stack()


def test_the_requirement_files_say_the_same():
    lines = (ROOT / 'requirements' / 'mminstall.txt').read_text().splitlines()
    written = {Requirement(line).name: Requirement(line).specifier
               for line in lines}
    for requirement in (*compat.REQUIREMENTS[1:], compat.MMDET):
        assert written.pop(requirement.module) == SpecifierSet(
            requirement.versions)
    assert not written


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


def test_a_training_resumes(tmp_path):
    """A run of MMEngine's own runner, interrupted and resumed."""
    script = tmp_path / 'train.py'
    script.write_text(TRAINING.replace('COMPAT', str(ROOT / 'mmpose_wloss')))
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

sys.path.insert(0, 'COMPAT')
import compat
compat.add_safe_globals()


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
