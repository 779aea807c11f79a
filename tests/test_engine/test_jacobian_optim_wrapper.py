"""Gradients of several losses, aggregated by torchjd."""

import copy

from mmpose_wloss.commands.train import train_in_mixed_precision
from mmpose_wloss.common.awaited_losses import PATIENCE
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.engine.optim_wrappers import jacobian_optim_wrapper

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from small_trainings import in_two_processes
from torch import nn

pytest.importorskip('torchjd', reason='needs torch 2.3, and torchjd')
from torchjd.aggregation import UPGrad  # noqa: E402


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')


class Network(BaseModel):
    """Two losses, or three, that share a trunk."""

    def __init__(self, names=('loss_a', 'loss/b', 'loss_c')):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(3, 4)
        self.heads = nn.ModuleList(nn.Linear(4, 2) for _ in names)
        self.names = names

    def forward(self, inputs, mode='loss'):
        features = self.trunk(torch.stack(inputs)).relu()
        values = {name: (head(features) - index).square().mean()
                  for index, (name, head) in
                  enumerate(zip(self.names, self.heads, strict=True))}
        # MMEngine adds up lists too, and no figure
        values[self.names[0]] = [values[self.names[0]], features.mean()]
        return dict(values, acc_pose=features.sum())


class Vector(BaseModel):
    """Losses g_i · x, whose gradients are g_i."""

    def __init__(self, *gradients):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(len(gradients[0])))
        self.gradients = torch.tensor(gradients)
        self.left_out = ()

    def forward(self, inputs, mode='loss'):
        scale = torch.stack(inputs).mean()
        return {f'loss_{index}': scale * (gradient @ self.vector)
                for index, gradient in enumerate(self.gradients)
                if index not in self.left_out}


def batch(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return dict(inputs=[torch.randn(3, generator=generator) for _ in range(count)])


ONES = dict(inputs=[torch.ones(1)])


def wrapper(model, kind='JacobianOptimWrapper', optimizer=None, **kwargs):
    if 'Jacobian' in kind:
        kwargs.setdefault('aggregator', 'Sum')
    return build_optim_wrapper(model, dict(
        type=kind, optimizer=optimizer or dict(type='SGD', lr=1.), **kwargs))


def step(*gradients, data=ONES, **kwargs):
    """The step of SGD with a rate of 1 for these gradients."""
    model = Vector(*gradients)
    model.train_step(data, wrapper(model, **kwargs))
    return -model.vector.detach()


# It is the stock wrapper


@pytest.mark.parametrize('chunk', [1, 2, None])
@pytest.mark.parametrize('kwargs', [
    dict(), dict(clip_grad=dict(max_norm=0.1)), dict(accumulative_counts=2),
    dict(accumulative_counts=2, clip_grad=dict(type='value', clip_value=0.01))],
    ids=str)
def test_sum_is_the_stock_step(kwargs, chunk):
    models = Network(), Network()
    first, second = (
        wrapper(models[0], parallel_chunk_size=chunk, **copy.deepcopy(kwargs)),
        wrapper(models[1], 'OptimWrapper', **copy.deepcopy(kwargs)))
    start = copy.deepcopy(models[0].state_dict())
    # of which the last one is no whole accumulation
    for each, model in zip((first, second), models, strict=True):
        each.initialize_count_status(model, 0, 5)
    for seed in range(5):
        logs = [model.train_step(batch(seed=seed), each) for model, each in
                zip(models, (first, second), strict=True)]
        torch.testing.assert_close(*logs)
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict())
    assert not all(torch.equal(value, start[key])
                   for key, value in models[0].state_dict().items())
    # nothing stays on the model
    assert 'forward' not in vars(models[0])
    assert not any(hasattr(value, 'jac') for value in models[0].parameters())


def test_constant_weighs_losses():
    model, other = Network(), Network()
    model.train_step(batch(), wrapper(model, aggregator=dict(
        type='Constant', weights=[1., 0.5, 0.])))
    losses = other(**batch())
    optimizer = wrapper(other, 'OptimWrapper')
    optimizer.update_params(sum(losses['loss_a']) + 0.5 * losses['loss/b'])
    torch.testing.assert_close(model.state_dict(), other.state_dict())


# It aggregates


def test_pcgrad_is_its_closed_form():
    """Of two that conflict, each is projected onto the other's normal plane."""
    first, second = torch.tensor([1., 0.]), torch.tensor([-1., 1.])
    product = first @ second
    expected = (first - product / second.square().sum() * second +
                second - product / first.square().sum() * first)
    torch.testing.assert_close(
        step(first.tolist(), second.tolist(), aggregator='PCGrad'), expected)
    # of two that do not, it is their sum
    assert step([1., 0.], [1., 1.], aggregator='PCGrad').tolist() == [2, 1]


def test_mgda_is_the_shortest_in_the_hull():
    found = step([1., 0.], [0., 2.], aggregator=dict(
        type='MGDA', epsilon=1e-6, max_iters=1000))
    torch.testing.assert_close(found, torch.tensor([0.8, 0.4]), rtol=1e-3, atol=0)


@pytest.mark.parametrize('aggregator', ['UPGrad', 'AlignedMTL', 'IMTLG', 'ConFIG',
                                        'DualProj', 'GradDrop', 'GradVac'])
def test_every_kind_steps(aggregator):
    found = step([1., 0.2, 0.], [-0.5, 1., 1.], aggregator=aggregator)
    assert found.isfinite().all() and found.any()


def test_upgrad_conflicts_with_no_loss():
    gradients = [1., 0.2, 0.], [-3., 1., 1.]
    found = step(*gradients, aggregator='UPGrad')
    assert (torch.tensor(gradients) @ found > -1e-3).all()
    assert (torch.tensor(gradients) @ step(*gradients))[0] < 0
    torch.testing.assert_close(found, UPGrad()(torch.tensor(gradients)))


def test_a_jacobian_accumulates_before_it_is_aggregated():
    """Two batches are one of their mean, also for what is not linear."""
    model = Vector([1., 0.], [-1., 1.])
    optimizer = wrapper(model, aggregator='PCGrad', accumulative_counts=2)
    for scale in (1., 3.):
        model.train_step(dict(inputs=[torch.tensor([scale])]), optimizer)
    expected = step([1., 0.], [-1., 1.], aggregator='PCGrad',
                    data=dict(inputs=[torch.tensor([2.])]))
    torch.testing.assert_close(-model.vector.detach(), expected)


def test_weights_are_logged():
    step([1., 0.], [-1., 1.], aggregator='PCGrad')
    hub = MessageHub.get_current_instance()
    # 1 / 2 of the first, which the second is projected off, and so on
    assert [hub.get_scalar(f'train/weight_loss_{index}').current()
            for index in range(2)] == [2, 1.5]


# Which losses


def test_losses_that_are_not_named_are_one():
    gradients = [1., 0.], [-1., 1.], [0., -0.5]
    found = step(*gradients, aggregator='PCGrad', terms=['loss_1'])
    torch.testing.assert_close(found, step(
        [-1., 1.], [1., -0.5], aggregator='PCGrad'))
    torch.testing.assert_close(
        step(*gradients, aggregator=dict(type='Constant', weights=[1., 2., 4.]),
             terms=['loss_2', 'loss_0', 'loss_1']), torch.tensor([-2., 3.5]))


def test_a_loss_that_is_missing_has_no_gradient():
    model = Vector([1., 0.], [-1., 1.])
    optimizer = wrapper(model, aggregator='PCGrad')
    model.train_step(ONES, optimizer)
    before = model.vector.detach().clone()
    model.left_out = (1, )
    model.train_step(ONES, optimizer)
    torch.testing.assert_close(before - model.vector, torch.tensor([1., 0.]))


def test_a_loss_that_comes_later():
    model = Vector([1., 0.], [-1., 1.])
    model.left_out = (1, )
    optimizer = wrapper(model)
    model.train_step(ONES, optimizer)
    model.left_out = ()
    with pytest.raises(UserError, match="'loss_0'.*'loss_1'.*terms"):
        model.train_step(ONES, optimizer)


@pytest.mark.parametrize('arguments, message', [
    (dict(aggregator='Best'), "aggregator.type.*'UPGrad'.*'Best'"),
    (dict(aggregator='WeightedAggregator'), 'aggregator.type'),
    (dict(aggregator=dict(type='CAGrad', b=1.)), "CAGrad.*'b'"),
    (dict(terms=[]), r'terms.*\[\]'), (dict(terms='loss'), "terms.*'loss'"),
    (dict(terms=['loss_0', 'loss_0']), 'terms'),
    (dict(terms=['others']), "terms.*'others'"),
    (dict(parallel_chunk_size=0), 'parallel_chunk_size.*0')])
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        wrapper(Vector([1.]), **arguments)


def test_processes_whose_losses_differ(monkeypatch):
    monkeypatch.setattr(jacobian_optim_wrapper, 'all_gather_object',
                        lambda rows: [rows, ['loss_1']])
    model = Vector([1.], [2.])
    with pytest.raises(UserError, match="'loss_0', 'loss_1'.*terms"):
        model.train_step(ONES, wrapper(model))


def test_a_typo():
    model = Vector([1.], [2.])
    optimizer = wrapper(model, terms=['loss_0', 'loss_x'])
    with pytest.raises(UserError, match=r"\['loss_x'\].*'loss_0', 'loss_1'"):
        for _ in range(PATIENCE):
            model.train_step(ONES, optimizer)
    assert optimizer.awaited.steps == PATIENCE


def test_a_term_that_the_first_batch_lacks():
    model = Vector([1., 0.], [-1., 1.])
    model.left_out = (1, )
    optimizer = wrapper(model, terms=['loss_0', 'loss_1'])
    model.train_step(ONES, optimizer)
    model.left_out = ()
    for _ in range(2 * PATIENCE):
        model.train_step(ONES, optimizer)


def test_a_step_that_goes_past_it():
    model = Vector([1.])
    with pytest.raises(UserError, match='optim_context'):
        wrapper(model).update_params(model(**ONES)['loss_0'])


# In a training


def train(folder, epochs, **kwargs):
    model = Network()
    Runner(
        model, str(folder), dict(
            batch_size=4, dataset=[dict(inputs=value) for value in
                                   batch(8)['inputs']],
            num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(type='JacobianOptimWrapper', aggregator='UPGrad',
                           optimizer=dict(type='Adam', lr=0.01)),
        log_level='ERROR', default_scope='mmpose',
        experiment_name=f'{folder.name}_{epochs}_{kwargs}', **kwargs).train()
    return model.state_dict()


def test_a_training_that_is_resumed(tmp_path):
    whole = train(tmp_path / 'whole', 2)
    first = train(tmp_path / 'parts', 1)
    assert not torch.equal(first['trunk.weight'], whole['trunk.weight'])
    torch.testing.assert_close(train(tmp_path / 'parts', 2, resume=True), whole,
                               rtol=0, atol=0)


def test_bfloat16(monkeypatch):
    monkeypatch.setattr('mmpose_wloss.engine.optim_wrappers.bfloat16_optim_wrapper.'
                        'pays_on_cpu', lambda: True)
    seen = []
    states = []
    for kind in ('JacobianOptimWrapper', 'Bfloat16JacobianOptimWrapper'):
        model = Network()
        model.trunk.register_forward_hook(
            lambda module, args, output: seen.append(output.dtype))
        model.train_step(batch(), wrapper(model, kind, aggregator='UPGrad'))
        states.append(model.state_dict())
    assert seen == [torch.float32, torch.bfloat16]
    torch.testing.assert_close(*states, rtol=0.05, atol=0.05)
    assert not torch.equal(*(state['trunk.weight'] for state in states))
    assert all(value.dtype == torch.float32 for value in states[1].values())


@pytest.mark.parametrize('kind', ['JacobianOptimWrapper',
                                  'Bfloat16JacobianOptimWrapper'])
def test_amp(kind):
    cfg = Config(dict(optim_wrapper=dict(type=kind, aggregator='UPGrad')))
    train_in_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type='Bfloat16JacobianOptimWrapper',
                                     aggregator='UPGrad')


AGGREGATORS = ['Sum', 'UPGrad', 'PCGrad', 'GradDrop']


def train_rank(folder):
    rank = torch.distributed.get_rank()
    # aggregators draw different numbers
    found = []
    for aggregator in AGGREGATORS:
        model = MMDistributedDataParallel(Network())
        torch.manual_seed(rank)
        optimizer = wrapper(model, aggregator=aggregator, accumulative_counts=2,
                            optimizer=dict(type='SGD', lr=0.1))
        for seed in range(4):
            data = batch(8, seed)['inputs'][4 * rank:4 * rank + 4]
            model.train_step(dict(inputs=data), optimizer)
        found.append(dict(model.module.state_dict()))
    torch.save(found, folder / f'{rank}.pth')


def test_two_processes_are_one_with_the_whole_batch(free_port, tmp_path):
    in_two_processes(train_rank, free_port, tmp_path)
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True)
                     for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for aggregator, state in zip(AGGREGATORS[:2], first[:2], strict=True):
        model = Network()
        optimizer = wrapper(model, aggregator=aggregator, accumulative_counts=2,
                            optimizer=dict(type='SGD', lr=0.1))
        for seed in range(4):
            model.train_step(batch(8, seed), optimizer)
        torch.testing.assert_close(state, dict(model.state_dict()))
