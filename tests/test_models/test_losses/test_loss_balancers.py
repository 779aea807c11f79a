"""Loss balancers: formulas, reference values, what papers promise."""

import importlib.util
import math
import re
from pathlib import Path

from mmpose_wloss.models.losses import loss_balancers

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpose.registry import MODELS
from small_trainings import in_two_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

ROOT = Path(__file__).parents[3]
DATA = ROOT / 'tests' / 'data'
TERMS = ['pixels', 'millimeters']
MANUAL = dict(type='ManualBalancer', ratios=dict(pixels=1., millimeters=0.1))
ALL = [dict(type='AdaptiveBalancer'), MANUAL, dict(type='GradNormBalancer'),
       dict(type='DynamicTaskPriorityBalancer'),
       dict(type='UncertaintyBalancer'),
       dict(type='UncertaintyBalancer', log_variance='first_batch'),
       dict(type='GradNormBalancer', weights='first_batch')]
TORCHJD = [dict(type='TorchJDBalancer', scalarizer=each)
           for each in ('DWA', 'FAMO', 'IMTLL', 'Random')
           ] if importlib.util.find_spec('torchjd') else []
ALL += TORCHJD[:2]
WITH_STATE = ALL[2:] + TORCHJD[2:3]
NAN = float('nan')


def identify(config):
    return config['type'] + ''.join(config.get(key, '') for key in (
        'log_variance', 'weights', 'scalarizer'))


every = pytest.mark.parametrize('config', ALL, ids=identify)
stateful = pytest.mark.parametrize('config', WITH_STATE, ids=identify)


def build(config, terms=TERMS, **kwargs):
    return MODELS.build(dict(config, **kwargs),
                        default_args=dict(terms=list(terms)))


@pytest.fixture
def clock(monkeypatch):
    """A message hub whose epoch and iteration a test sets."""
    hub = MessageHub('test_loss_balancers')
    monkeypatch.setattr(MessageHub, 'get_current_instance', lambda: hub)
    return hub


@pytest.fixture
def log(monkeypatch):
    """What is logged."""
    lines = []
    monkeypatch.setattr(loss_balancers.loss_balancer, 'print_log',
                        lambda line, *_: lines.append(line))
    return lines


def pairs(dtype=torch.float64, seed=0):
    """2D keypoints and small volumes, weighted, a third of them not visible.

    Terms, and the features that both depend on.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    features = normal(4, 3, 6).to(dtype).requires_grad_()
    weights = torch.rand((4, 3), generator=generator).to(dtype)
    weights[weights < 0.3] = 0
    weights[0, 0] = 1
    targets = normal(4, 3, 2).to(dtype), normal(4, 3, 2, 3, 2).to(dtype)
    kernel = 100 * normal(6, 12).to(dtype)
    volumes = (features @ kernel).reshape(4, 3, 2, 3, 2)
    return dict(pixels=(features[..., :2] * 3, targets[0], weights),
                millimeters=(volumes, targets[1], weights)), features


def run(balancer, terms, features=None):
    """What a balancer returns, and the gradient of all its losses."""
    result = balancer(terms, shared=features)
    total = sum(value for key, value in result.items() if 'loss' in key)
    gradient, = torch.autograd.grad(total, features, retain_graph=True)
    return {key: value.detach() for key, value in result.items()}, gradient


@pytest.mark.parametrize('name', ['h1', 'i1'])
def test_adaptive_equals_the_original_code(name):
    values = np.load(DATA / f'adaptive_{name}.npz')
    terms = [str(term) for term in values['order']]
    predictions = {term: torch.tensor(values[f'pred_{term}'],
                                      requires_grad=True) for term in terms}
    result = build(dict(type='AdaptiveBalancer'), terms)(
        {term: (predictions[term], torch.tensor(values[f'gt_{term}']), None)
         for term in terms})
    loss = sum(result[f'loss_{term}'] for term in terms)
    loss.backward()
    assert loss.item() == pytest.approx(values['loss'].item(), rel=1e-5)
    for term in terms:
        assert result[f'weight_{term}'].item() == pytest.approx(
            values[f'weight_{term}'].item(), rel=1e-5)
        expected = torch.tensor(values[f'grad_{term}'])
        torch.testing.assert_close(predictions[term].grad, expected, rtol=1e-5,
                                   atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize('reduction', ['batch', 'mean'])
@every
def test_the_loss_of_a_pair_is_its_equation(config, reduction):
    terms, features = pairs()
    result = build(config, reduction=reduction)(terms, shared=features)
    for term, (prediction, target, weight) in terms.items():
        axes = [1] * (prediction.ndim - 2)
        raw = (weight.view(4, 3, *axes) * (prediction - target)**2).sum() / (
            4 if reduction == 'batch' else
            (weight > 0).sum() * prediction[0, 0].numel())
        torch.testing.assert_close(result[f'raw_{term}'], raw.detach())
        if config['type'] != 'UncertaintyBalancer':
            assert result[f'loss_{term}'] == (
                result[f'weight_{term}'] * result[f'raw_{term}'])
        assert not result[f'weight_{term}'].requires_grad
    # what MMEngine adds up and logs
    total, log = BaseModel.parse_losses(None, result)
    assert total == sum(result[f'loss_{term}'] for term in TERMS)
    assert list(log) == ['loss', *(f'{what}_{term}' for what in (
        'loss', 'weight', 'raw') for term in TERMS)]
    assert torch.autograd.grad(total, features)[0].abs().sum() > 0


@every
def test_loss_weight(config):
    terms, features = pairs()
    once, gradient = run(build(config), terms, features)
    thrice, larger = run(build(config, loss_weight=3.), terms, features)
    torch.testing.assert_close(larger, 3 * gradient)
    torch.testing.assert_close(thrice, {
        key: value if key.startswith('raw') else 3 * value
        for key, value in once.items()})


@pytest.mark.parametrize('dimensions', [1, 2, 3, 5])
def test_shapes_of_weights(dimensions):
    terms, features = pairs()
    prediction, target, _ = terms['millimeters']
    error = prediction - target
    weight = torch.ones(prediction.shape[:dimensions])
    weight[0], weight[1] = 0, 2.5
    for dtype in (torch.float32, torch.float64):
        result = build(dict(type='AdaptiveBalancer'), ['one'])(
            dict(one=(prediction, target, weight.to(dtype))))
        torch.testing.assert_close(
            result['raw_one'], (error.square().flatten(1).sum(1).detach() *
                                torch.tensor([0, 2.5, 1, 1])).sum() / 4)
        # the mean error is that of what is visible, however it is weighted
        torch.testing.assert_close(result['weight_one'],
                                   1 / error[1:].abs().mean().detach())


def test_gradcheck():
    terms, _ = pairs()
    prediction, target, visible = (
        tensor.detach() for tensor in terms['pixels'])
    balancer = build(dict(type='UncertaintyBalancer'), ['pixels', 'sizes'])
    balancer.log_variance.data = torch.tensor([0.3, -0.2], dtype=torch.float64)
    no_sizes = torch.zeros(3, dtype=torch.float64)

    def losses(moved, sizes):
        result = balancer(dict(pixels=(moved, target, visible * 1.7),
                               sizes=(sizes, no_sizes, None)))
        return result['loss_pixels'], result['loss_sizes']

    inputs = (prediction.requires_grad_(),
              torch.rand(3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(losses, inputs)
    assert torch.autograd.gradgradcheck(losses, inputs)


@every
def test_what_is_not_visible_does_not_count(config):
    results = []
    for nothing in (0., NAN, math.inf, 1e300):
        terms, _ = pairs()
        for name, (prediction, target, weight) in terms.items():
            holes = (weight == 0).reshape(4, 3, *[1] * (target.ndim - 2))
            assert holes.any()
            terms[name] = (
                prediction.detach().masked_fill(holes, nothing).requires_grad_(),
                target.masked_fill(holes, -nothing), weight)
        shared = [pair[0] for pair in terms.values()]
        result = build(config)(terms, shared=shared)
        gradients = torch.autograd.grad(
            sum(result[f'loss_{term}'] for term in TERMS), shared)
        for gradient in gradients:
            assert (gradient[weight == 0] == 0).all()
            assert gradient.isfinite().all() and gradient.abs().sum() > 0
        results.append((gradients, {key: value.detach()
                                    for key, value in result.items()}))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0)


@every
def test_nan_that_is_visible_is_not_hidden(config):
    terms, features = pairs()
    prediction, target, weight = terms['pixels']
    target[0, 0] = NAN
    result = build(config)(terms, shared=features)
    assert result['raw_pixels'].isnan()
    assert not result['raw_millimeters'].isnan()


@every
def test_a_term_that_nobody_sees(config):
    terms, features = pairs()
    terms['pixels'] = (*terms['pixels'][:2], 0 * terms['pixels'][2])
    balancer = build(config)
    for _ in range(3):
        result, gradient = run(balancer, terms, features)
        assert result['raw_pixels'] == result['loss_pixels'] == 0
        assert all(value.isfinite() for value in result.values())
        assert gradient.isfinite().all()
        alone = dict(terms, pixels=features.sum() * 0)
        torch.testing.assert_close(run(balancer, alone, features)[1], gradient,
                                   rtol=0.1, atol=0)
    if config['type'] == 'AdaptiveBalancer':
        assert result['weight_pixels'] == 0
        assert run(balancer, alone, features)[0]['weight_pixels'] == 0
    if config['type'] == 'UncertaintyBalancer':
        total = sum(balancer(terms)[f'loss_{term}'] for term in TERMS)
        pull, = torch.autograd.grad(total, balancer.log_variance)
        assert pull[0] == 0 and pull[1] != 0


def test_a_pair_that_agrees():
    terms, features = pairs()
    prediction, _, weight = terms['pixels']
    terms['pixels'] = (prediction, prediction.detach(), weight)
    result, gradient = run(build(ALL[0]), terms, features)
    assert all(value.isfinite() for value in result.values())
    assert result['loss_pixels'] == 0 and gradient.isfinite().all()
    assert result['weight_pixels'].item() == pytest.approx(1e6)


@every
def test_scalar_losses_are_balanced_like_pairs(config):
    terms, features = pairs()
    from_pairs = build(config, reduction='mean')
    from_scalars = build(config, reduction='mean')
    for _ in range(2):
        expected, gradient = run(from_pairs, terms, features)
        given = {name: (weight.reshape(4, 3, *[1] * (p.ndim - 2)) *
                        (p - y)**2).sum() / (weight > 0).sum() /
                 p[0, 0].numel()
                 for name, (p, y, weight) in terms.items()}
        result, ours = run(from_scalars, given, features)
        if config['type'] != 'AdaptiveBalancer':
            torch.testing.assert_close((result, ours), (expected, gradient))
            continue
        # of a loss, the balancer knows no mean error but itself
        for name in TERMS:
            torch.testing.assert_close(result[f'weight_{name}'],
                                       1 / given[name].detach())
            assert result[f'loss_{name}'].item() == pytest.approx(1)


def test_a_batch_of_no_samples():
    result = build(dict(type='AdaptiveBalancer'), ['pixels'])(
        dict(pixels=(torch.zeros(0, 3, 2), torch.zeros(0, 3, 2),
                     torch.zeros(0, 3))))
    assert all(value == 0 for value in result.values())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [300., 1e-4])
@every
def test_half_precision_neither_overflows_nor_underflows(config, size, dtype):
    prediction = torch.full((2, 3, 50), size, dtype=dtype, requires_grad=True)
    target, visible = 0 * prediction.detach(), torch.ones(2, 3, dtype=dtype)
    result = build(config, reduction='mean')(
        dict(pixels=(prediction, target, visible),
             millimeters=(prediction, target, None)), shared=prediction)
    for term in TERMS:
        raw = result[f'raw_{term}']
        assert raw.dtype == torch.float32
        assert raw.item() == pytest.approx(size**2, rel=1e-2)
        assert result[f'loss_{term}'].isfinite()


@every
def test_autocast(config):
    """Of bfloat16 alone, since CPUs have no other in all versions of torch."""
    terms, features = pairs(torch.float32)
    found = []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            result = build(config, grad_norm_interval=1)(terms, shared=features)
        found.append((result, torch.autograd.grad(
            sum(result[f'loss_{term}'] for term in TERMS), features,
            retain_graph=True)))
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize('size', [1e-5, 1., 1e5])
def test_gradients_are_measured_in_half_precision_at_any_scale(size):
    norms = []
    for dtype in (torch.float32, torch.float16):
        features = torch.linspace(-2, 2, 4000).to(dtype).requires_grad_()
        # as behind a convolution in half precision
        loss = features.float().square().mean() * size
        result = build(WITH_STATE[0], ['one'], grad_norm_interval=1)(
            dict(one=loss), shared=features)
        norms.append(result['grad_norm_one'].item())
    assert norms[0] > 0 and norms == [pytest.approx(norms[0], rel=1e-2)] * 2


# Adaptive


def test_adaptive_gives_terms_of_any_unit_gradients_of_one_size():
    terms, _ = pairs()
    prediction, target, weight = terms['pixels']
    predictions = [prediction.detach().requires_grad_(),
                   100 * prediction.detach()]
    predictions[1].requires_grad_()
    result = build(dict(type='AdaptiveBalancer'))(dict(
        pixels=(predictions[0], target, weight),
        millimeters=(predictions[1], 100 * target, weight)))
    # none goes through the weights
    torch.testing.assert_close(*(
        torch.autograd.grad(result[f'loss_{term}'], each)[0]
        for term, each in zip(TERMS, predictions, strict=True)))


# Manual


def test_manual_ratios_change_by_epoch(clock):
    balancer = build(MANUAL, schedule={
        20: dict(pixels=0.), 5: dict(millimeters=0.3), 0: dict(pixels=7.)})
    terms = dict(pixels=torch.tensor(2.), millimeters=torch.tensor(3.))
    for epoch, ratios in ((None, (7., 0.1)), (0, (7., 0.1)), (4, (7., 0.1)),
                          (5, (7., 0.3)), (19, (7., 0.3)), (20, (0., 0.3)),
                          (99, (0., 0.3)), (0, (7., 0.1))):
        if epoch is not None:
            clock.update_info('epoch', epoch)
        result = balancer(terms)
        weights = [result[f'weight_{term}'].item() for term in TERMS]
        assert weights == pytest.approx(ratios), epoch
    assert not balancer.state_dict()


@pytest.mark.parametrize('change, message', [
    (dict(ratios=dict(pixels=1.)), "'millimeters'"),
    (dict(ratios=dict(pixels=1., millimeters=1., depth=1.)), "'depth'"),
    (dict(ratios=dict(pixels=-1., millimeters=1.)), "'pixels'.*-1.0"),
    (dict(ratios=dict(pixels=NAN, millimeters=1.)), "'pixels'.*nan"),
    (dict(ratios=dict(pixels='1', millimeters=1.)), "'pixels'.*'1'"),
    (dict(schedule={5: dict(depth=1.)}), "5.*'depth'"),
    (dict(schedule={'5': dict(pixels=1.)}), "schedule.*'5'"),
    (dict(schedule={-1: dict(pixels=1.)}), 'schedule.*-1')])
def test_wrong_ratios(change, message):
    with pytest.raises(ValueError, match=message):
        build({**MANUAL, **change})


# What the papers promise, on two tasks of scales 1 : 100


def test_grad_norm_makes_gradients_meet():
    path = ROOT / 'docs' / 'draw_loss_balancers.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    history = toy.train(dict(type='GradNormBalancer', alpha=0.), 400)
    small, large = (np.array(history[f'grad_norm_{task}'])
                    for task in ('small', 'large'))
    assert large[0] > 50 * small[0]
    assert small[-50:].mean() == pytest.approx(large[-50:].mean(), rel=0.1)
    weights = np.array([history['weight_small'], history['weight_large']])
    assert weights.sum(0) == pytest.approx(2, rel=1e-5) and (weights > 0).all()


@pytest.mark.parametrize('alpha, ratio', [(0., 1), (1., 4)])
def test_grad_norm_prefers_what_trains_slowly(alpha, ratio):
    """With alpha, the term whose loss fell less has the larger gradient."""
    features = torch.ones(4, requires_grad=True)
    balancer = build(dict(type='GradNormBalancer', alpha=alpha, lr=0.1,
                          grad_norm_interval=1))
    for step in range(100):
        # pixels falls to a quarter, millimeters stays
        result = balancer(dict(
            pixels=(0.25 if step else 1.) * features.square().sum(),
            millimeters=100 * features.square().sum()), shared=features)
    small, large = (result[f'grad_norm_{term}'].item() for term in TERMS)
    assert large / small == pytest.approx(ratio, rel=1e-2)


def test_grad_norm_leaves_out_what_nobody_sees():
    """Equal terms stay equal, however seldom some of them are seen."""
    features = torch.ones(4, requires_grad=True)
    terms = [f'term{number}' for number in range(5)]
    balancer = build(WITH_STATE[0], terms)
    for step in range(50):
        balancer({term: features.square().sum() * (number != step % 5)
                  for number, term in enumerate(terms)}, shared=features)
    torch.testing.assert_close(balancer.weights, torch.ones(5), rtol=1e-4,
                               atol=0)
    # nobody sees any
    balancer({term: features.sum() * 0 for term in terms}, shared=features)
    assert balancer.weights.isfinite().all()


def test_grad_norm_balances_the_others_of_what_nobody_sees():
    features = torch.ones(4, requires_grad=True)
    balancer = build(dict(type='GradNormBalancer', alpha=0., lr=0.1),
                     ['once', 'tenfold', 'never', 'negative'])
    for _ in range(60):
        loss = features.square().sum()
        balancer(dict(once=loss, tenfold=10 * loss, never=0 * loss,
                      negative=-loss), shared=features)
    torch.testing.assert_close(balancer.weights,
                               torch.tensor([20 / 11, 2 / 11, 1, 1]),
                               rtol=1e-2, atol=0)
    assert balancer.weights[2:].tolist() == [1, 1]


def test_grad_norm_starts_at_the_first_batch():
    """Gradients are equal at once; what is seen later gets as large a one."""
    features = torch.ones(4, requires_grad=True)
    terms = ['once', 'thousandfold', 'late', 'never']
    balancer = build(dict(type='GradNormBalancer', alpha=0., weights='first_batch',
                          grad_norm_interval=1), terms)
    for step in range(3):
        loss = features.square().sum()
        result = balancer(dict(
            once=loss, thousandfold=1000 * loss, late=(step > 0) * 50 * loss,
            never=0 * loss), shared=features)
        norms = [result[f'grad_norm_{term}'].item() for term in terms]
        seen = 3 if step else 2
        assert norms[:seen] == pytest.approx([norms[0]] * seen)
        assert norms[seen:] == [0] * (4 - seen)
        assert balancer.weights.sum().item() == pytest.approx(4)
        assert balancer.weights[-1] == 1
    gradients = torch.tensor([1., 1000., 50.])
    weights = 3 / gradients / (1 / gradients).sum()
    torch.testing.assert_close(balancer.weights[:3], weights)


@pytest.mark.parametrize('start', ['equal', 'first_batch'])
@pytest.mark.parametrize('bad', [
    lambda features: features.sum() * NAN,
    lambda features: features.sum() * math.inf,
    # whose gradient alone is infinite
    lambda features: (features - features.detach()).sqrt().sum() + 1,
], ids=['nan', 'inf', 'gradient'])
def test_grad_norm_leaves_its_weights_where_gradients_are_not_finite(bad, start):
    terms, features = pairs()
    balancer = build(dict(type='GradNormBalancer', weights=start))
    balancer(dict(terms, pixels=bad(features)), shared=features)
    assert (balancer.weights == 1).all() and (balancer.initial == 0).all()
    balancer(terms, shared=features)
    before = state_of(balancer)
    assert (balancer.weights != 1).all() and (balancer.initial > 0).all()
    balancer(dict(terms, pixels=bad(features)), shared=features)
    assert_state(balancer, before)


def test_task_priority_is_its_equation():
    balancer = build(dict(type='DynamicTaskPriorityBalancer', gamma=2.,
                          momentum=0.25))

    def check(millimeters, kpi, *averages):
        result = balancer(dict(pixels=torch.tensor(3.),
                               millimeters=torch.tensor(millimeters)),
                          kpis=dict(pixels=kpi))
        for term, k in zip(TERMS, averages, strict=True):
            assert result[f'weight_{term}'].item() == pytest.approx(
                -(1 - k)**2 * math.log(k), rel=1e-4)

    # no progress of millimeters yet
    check(400., torch.tensor(0.5), 0.5, 1e-3)
    averages = 0.75 * 0.5 + 0.25 * 0.9, 0.75 * 1e-3 + 0.25 * 0.75
    check(100., 0.9, *averages)
    # in a batch in which nobody sees them, they stay
    check(0., NAN, *averages)


def test_uncertainty_is_its_equation():
    s = torch.tensor([0.7, -3.])
    balancer = build(dict(type='UncertaintyBalancer'))
    (name, parameter), = balancer.named_parameters()
    assert name == 'log_variance'
    parameter.data = s
    raw = torch.tensor([2., 50.])
    result = balancer(dict(zip(TERMS, raw, strict=True)))
    loss, weight = (torch.stack([result[f'{what}_{term}'] for term in TERMS])
                    for what in ('loss', 'weight'))
    torch.testing.assert_close(loss.detach(), torch.exp(-s) * raw / 2 + s / 2)
    torch.testing.assert_close(weight, torch.exp(-s) / 2)
    # which is 0 where the variance is the loss
    loss.sum().backward()
    torch.testing.assert_close(parameter.grad, 0.5 - torch.exp(-s) * raw / 2)


def test_uncertainty_starts_at_the_first_batch():
    balancer = build(ALL[5])
    balancer(dict(pixels=torch.tensor(2.), millimeters=torch.tensor(0.)))
    # whose loss is not known yet
    assert balancer.log_variance.tolist() == pytest.approx([math.log(2), 0])
    balancer(dict(pixels=torch.tensor(9.), millimeters=torch.tensor(30.)))
    assert balancer.log_variance.tolist() == pytest.approx(
        [math.log(2), math.log(30)])


# Gradient norms


@every
def test_gradient_norms_are_those_of_the_balanced_losses(config, clock):
    balancer = build(config, grad_norm_interval=3)
    for iteration in range(7):
        clock.update_info('iter', iteration)
        terms, features = pairs(seed=iteration)
        result = balancer(terms, shared=features)
        for term in TERMS:
            expected, = torch.autograd.grad(result[f'loss_{term}'], features,
                                            retain_graph=True)
            key = f'grad_norm_{term}'
            assert (key in result) == (iteration % 3 == 0)
            if key in result:
                torch.testing.assert_close(result[key], expected.norm())
        # the graph is still there
        sum(result[f'loss_{term}'] for term in TERMS).backward()
    with torch.no_grad():
        clock.update_info('iter', 9)
        assert 'grad_norm_pixels' not in balancer(terms)


def test_gradient_norms_over_several_tensors_and_none():
    features = [torch.tensor([3.], requires_grad=True),
                torch.tensor([4.], requires_grad=True)]
    balancer = build(MANUAL, grad_norm_interval=1)
    result = balancer(dict(pixels=features[0].sum() * 3 + features[1].sum() * 4,
                           millimeters=torch.tensor(1.)), shared=features)
    assert result['grad_norm_pixels'] == 5
    assert result['grad_norm_millimeters'] == 0
    result = balancer(dict(pixels=features[0].sum(),
                           millimeters=features[1].sum()), shared=features)
    assert result['grad_norm_pixels'] == 1


# State


def assert_state(balancer, state):
    torch.testing.assert_close(dict(balancer.state_dict()), state, rtol=0,
                               atol=0)


def state_of(balancer):
    return {key: value.clone() for key, value in balancer.state_dict().items()}


def steps(balancer, count):
    """Training steps, with an optimizer's of the balancer's parameters."""
    for seed in range(count):
        terms, features = pairs(torch.float32, seed)
        result = balancer(terms, shared=features)
        sum(value for key, value in result.items() if 'loss' in key).backward()
        for parameter in balancer.parameters():
            if parameter.requires_grad:
                parameter.data -= 0.1 * parameter.grad
                parameter.grad = None


@stateful
@pytest.mark.parametrize('started', [False, True])
def test_only_training_changes_state(config, started):
    balancer = build(config)
    if started:
        steps(balancer, 2)
    before = state_of(balancer)
    terms, features = pairs(torch.float32, 7)
    with torch.no_grad():
        without = balancer(terms)
    evaluated = balancer.eval()(terms)
    assert_state(balancer, before)
    assert all(value.isfinite() for value in without.values())
    torch.testing.assert_close(without, {
        key: value.detach() for key, value in evaluated.items()})
    balancer.train()
    balancer(terms, shared=features)
    # the variances of the others are for the optimizer to change
    learns = config['type'] != 'UncertaintyBalancer' or (
        'log_variance' in config and not started)
    assert learns == any((value != before[key]).any()
                         for key, value in balancer.state_dict().items())


class Model(BaseModel):
    """Two terms of one layer."""

    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.balancer = build(config)
        self.seen = []

    def forward(self, inputs, mode='tensor'):
        features = torch.stack(inputs)
        output = self.layer(features)
        result = self.balancer(dict(
            pixels=(output[:, :2], features[:, :2], None),
            millimeters=(output[:, 2:], 100 * features[:, 1:], None)),
            shared=self.layer.weight)
        self.seen.append({key: value.item() for key, value in result.items()})
        return result


@pytest.mark.parametrize('config', [
    dict(MANUAL, schedule={1: dict(pixels=5.), 2: dict(millimeters=7.)}),
    *WITH_STATE], ids=identify)
def test_a_training_that_is_resumed(config, tmp_path):
    """Weights and logged gradient norms go on where the checkpoint was."""

    def train_epochs(epochs, **kwargs):
        torch.manual_seed(0)
        model = Model(dict(config, grad_norm_interval=3))
        generator = torch.Generator().manual_seed(0)
        data = [dict(inputs=torch.randn(3, generator=generator))
                for _ in range(8)]
        Runner(
            model, str(tmp_path), dict(
                batch_size=4, dataset=data, num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type='pseudo_collate')),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
            log_level='ERROR', default_scope='mmpose',
            experiment_name=f'{tmp_path.name}_{epochs}_{kwargs}', **kwargs).train()
        return model.seen

    whole = train_epochs(3)
    assert len(whole) == 6
    for number, result in enumerate(whole):
        assert ('grad_norm_pixels' in result) == (number % 3 == 0)
    assert train_epochs(1) == whole[:2]
    assert train_epochs(3, resume=True) == whole[2:]
    if config['type'] == 'ManualBalancer':
        assert [(each['weight_pixels'], each['weight_millimeters'])
                for each in whole[::2]] == [
                    (1, pytest.approx(0.1)), (5, pytest.approx(0.1)), (5, 7)]


def head_of(config, terms=TERMS):
    """A head whose balancer has learned."""
    head = nn.ModuleDict(dict(layer=nn.Linear(1, 1),
                              balancer=build(config, terms)))
    if terms == TERMS:
        steps(head['balancer'], 2)
    for value in head['balancer'].state_dict().values():
        if value.is_floating_point():
            value.uniform_(3, 4)
    return head


@pytest.mark.parametrize('config, other, terms', [
    (config, *other) for config in WITH_STATE for other in (
        (config, TERMS[::-1]), (config, TERMS[:1]), (config, [*TERMS, 'depth']),
        *((each, TERMS) for each in ALL if each['type'] != config['type']))],
    ids=str)
def test_a_state_of_other_terms_or_kind_is_not_loaded(config, other, terms, log):
    head, fresh = head_of(config), state_of(build(config))
    state = head_of(other, terms).state_dict()
    head.load_state_dict(state, strict=True)
    assert_state(head['balancer'], fresh)
    line, = log
    assert ('keys []' if other in ALL[:2] else f'terms {terms}') in line


@pytest.mark.parametrize('config', WITH_STATE, ids=identify)
@pytest.mark.parametrize('dtype', [torch.int64, torch.uint8])
def test_a_state_that_processes_averaged_is_loaded(config, dtype, log):
    """As SyncBuffersHook does with four of them, and one with the names as bytes."""
    head, other = (head_of(config) for _ in range(2))
    expected = state_of(head['balancer'])
    for buffer in head['balancer'].buffers():
        total = torch.stack([buffer] * 4).sum(0, dtype=buffer.dtype)
        buffer.copy_(total / 4)
    state = head.state_dict()
    state['balancer.names'] = state['balancer.names'].to(dtype)
    other.load_state_dict(state)
    assert_state(other['balancer'], expected)
    assert not log


def test_a_state_is_not_for_a_balancer_without_one(log):
    head = head_of(MANUAL)
    for other in (WITH_STATE[0], ALL[0]):
        head.load_state_dict(head_of(other).state_dict(), strict=True)
        assert len(log) == 1 and not head['balancer'].state_dict()


# Several processes


class Network(nn.Module):
    """A balancer of pairs, of one layer above the shared one."""

    def __init__(self, config):
        super().__init__()
        torch.manual_seed(1)
        self.trunk, self.head = nn.Linear(6, 8), nn.Linear(8, 4)
        self.balancer = build(config)

    def forward(self, inputs, target, visible):
        features = self.trunk(inputs)
        output = self.head(features.relu())
        return self.balancer(dict(
            pixels=(output[:, :2], target[:, :2], visible),
            millimeters=(100 * output[:, 2:], target[:, 2:], None)),
            shared=[features, *self.trunk.parameters()])


class WithoutPeople(nn.Module):
    """Leaves out a loss and what it is made of, as RTMOHead does."""

    def __init__(self):
        super().__init__()
        self.person, self.pose = nn.Linear(8, 1), nn.Linear(8, 4)

    def loss(self, feats, people):
        losses = dict(loss_person=self.person(feats[0]).square().mean())
        if people.any():
            losses['loss_pose'] = self.pose(feats[0][people]).square().mean()
        return losses


class Detector(nn.Module):
    """A BalancedHead of that head."""

    def __init__(self, config):
        super().__init__()
        torch.manual_seed(1)
        self.trunk = nn.Linear(6, 8)
        self.head = MODELS.build(dict(
            type='BalancedHead', head=dict(type='WithoutPeople'),
            terms=dict(pixels='loss_pose', millimeters='loss_person'),
            balancer=config))
        self.balancer = self.head.balancer

    def forward(self, inputs, target, visible):
        return self.head.loss((self.trunk(inputs), ), visible > 0)


def train(network, share):
    """Weights and raw losses of four steps, then state and parameters."""
    balancer = getattr(network, 'module', network).balancer
    optimizer = torch.optim.SGD(network.parameters(), 1e-4)
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(4):
        inputs, target = (torch.randn(8, n, generator=generator)
                          for n in (6, 4))
        # uneven: of the second process two, then none
        visible = torch.ones(8)
        visible[max(6 - 2 * step, 4):] = 0
        result = network(inputs[share], target[share], visible[share])
        optimizer.zero_grad()
        sum(value for key, value in result.items() if 'loss' in key).backward()
        optimizer.step()
        found.append([[result[f'{what}_{term}'].item() for term in TERMS]
                      for what in ('weight', 'raw')])
    return torch.tensor(found).unbind(1), dict(balancer.state_dict()), torch.cat([
        parameter.detach().flatten() for parameter in network.parameters()])


RUNS = [(config, network) for config in ALL + TORCHJD[2:]
        for network in (Network, Detector)]


def train_rank(folder):
    rank = torch.distributed.get_rank()
    torch.save([train(DistributedDataParallel(network(config)),
                      slice(4 * rank, 4 * rank + 4))
                for config, network in RUNS], folder / f'{rank}.pth')


def test_two_processes(free_port, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'WithoutPeople', WithoutPeople)
    in_two_processes(train_rank, free_port, tmp_path)
    for run, *found in zip(RUNS, *(torch.load(
            tmp_path / f'{rank}.pth', weights_only=True) for rank in range(2)),
            strict=True):
        check_ranks(*run, *found)


def check_ranks(config, network, found, other):
    """Both have one state, and a term's means are of those that see it."""
    (weights, raw), state, parameters = found
    (other_weights, other_raw), *other = other
    torch.testing.assert_close([weights, state, parameters],
                               [other_weights, *other], rtol=0, atol=0)
    assert weights.isfinite().all() and parameters.isfinite().all()
    # the second process sees no pixels from the second step on
    assert other_raw[0, 0] > 0 and (other_raw[1:, 0] == 0).all()
    means = torch.stack([raw, other_raw]).mean(0)
    means[1:, 0] = raw[1:, 0]

    kind = config['type']
    if 'initial' in state:
        torch.testing.assert_close(state['initial'], means[0])
    if config.get('log_variance') == 'first_batch':
        torch.testing.assert_close(weights[0], 0.5 / means[0])
    if kind == 'AdaptiveBalancer' and network is Detector:
        torch.testing.assert_close(weights, 1 / means)
    if kind == 'DynamicTaskPriorityBalancer':
        average, *others = (1 - means / means[0]).clamp(1e-3, 1 - 1e-3)
        for progress in others:
            average = average.lerp(progress, 0.1)
        torch.testing.assert_close(state['averages'], average)
    if network is Network and kind in ('AdaptiveBalancer', 'ManualBalancer'):
        # those of one process with the whole batch
        (expected, _), _, trained = train(network(config), slice(None))
        torch.testing.assert_close(weights, expected)
        torch.testing.assert_close(parameters, trained)


# Wrong input


@pytest.mark.parametrize('terms, kpis, message', [
    (TERMS[:1], [], "'millimeters'"), ([*TERMS, 'depth'], [], "'depth'"),
    (TERMS, ['depth'], "'depth'")])
@every
def test_terms_that_do_not_fit(config, terms, kpis, message):
    with pytest.raises(ValueError, match=message):
        build(config)(dict.fromkeys(terms, torch.tensor(1.)),
                      kpis=dict.fromkeys(kpis, 0.5))
    if config['type'] == 'DynamicTaskPriorityBalancer':
        with pytest.raises(ValueError, match=r"'pixels' in kpis.*\(2,\)"):
            build(config)(dict.fromkeys(TERMS, torch.tensor(1.)),
                          kpis=dict(pixels=torch.zeros(2)))


@pytest.mark.parametrize('terms', [
    [], ['a', 'b', 'a'], ['a', 'loss_b'], ['a.b'], ['']])
def test_wrong_names(terms):
    with pytest.raises(ValueError, match=re.escape(f'{terms}')):
        build(dict(type='AdaptiveBalancer'), terms)


@pytest.mark.parametrize('kind, name, values', [
    ('Adaptive', 'reduction', ['sum']),
    ('Adaptive', 'eps', [0., -1., NAN]),
    ('Adaptive', 'grad_norm_interval', [-1, 2.5]),
    ('Adaptive', 'loss_weight', [-1., NAN]),
    ('GradNorm', 'lr', [0., NAN]),
    ('GradNorm', 'alpha', [-1., NAN]),
    ('GradNorm', 'weights', ['first', 1.]),
    ('DynamicTaskPriority', 'gamma', [-1., NAN]),
    ('DynamicTaskPriority', 'momentum', [0., 1.5]),
    ('DynamicTaskPriority', 'eps', [0., 0.6]),
    ('Uncertainty', 'log_variance', ['first', NAN])])
def test_wrong_arguments(kind, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f'{name}.*{value}'):
            build({'type': f'{kind}Balancer', name: value})


@pytest.mark.parametrize('term, message', [
    (torch.zeros(3), r"'one'.*\(3,\)"), (3., "'one'.*float"),
    ((torch.zeros(3), ), "'one'.*tuple"),
    ((torch.zeros(3), torch.zeros(4), None), r"'one'.*\(3,\).*\(4,\)"),
    ((torch.zeros(()), torch.zeros(()), None), r"'one'.*\[B"),
    *(((torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(shape)),
       rf"weight.*'one'.*\(3, 2\).*{re.escape(str(shape))}")
      for shape in [(2, ), (3, 1), (3, 2, 1)])])
def test_wrong_pairs(term, message):
    with pytest.raises(ValueError, match=message):
        build(dict(type='AdaptiveBalancer'), ['one'])(dict(one=term))


@pytest.mark.parametrize('config', [
    WITH_STATE[0], dict(ALL[0], grad_norm_interval=1)], ids=identify)
def test_nothing_to_measure_gradients_with(config):
    terms, features = pairs()
    for shared, shapes in ((None, []), ([], []),
                           (features.detach(), [(4, 3, 6)])):
        with pytest.raises(ValueError, match=f'`shared`.*{re.escape(str(shapes))}'):
            build(config)(terms, shared=shared)
