"""Scalarizers of torchjd as balancers; what all balancers share is tested beside it."""

import math
import sys

from mmpose_wloss.common.errors import UserError

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner.amp import autocast
from mmpose.registry import MODELS

TERMS = ['a', 'b', 'c']
WEIGHTS = dict(a=1., b=0.5, c=0.25)
SCALARIZERS = [
    'Sum', 'Mean', 'GeometricMean', 'DWA', 'FAMO', 'IMTLL', 'UW',
    dict(type='Constant', weights=WEIGHTS),
    dict(type='COSMOS', lambda_=1., weights=WEIGHTS),
    dict(type='PBI', theta=5., weights=WEIGHTS),
    dict(type='STCH', mu=0.1, weights=WEIGHTS)]
torchjd = pytest.importorskip('torchjd', reason='needs torch 2.3, and torchjd')


def build(scalarizer, **kwargs):
    return MODELS.build(
        dict(type='TorchJDBalancer', scalarizer=scalarizer, **kwargs),
        default_args=dict(terms=TERMS))


def losses(*values):
    return {term: torch.tensor(value, requires_grad=True)
            for term, value in zip(TERMS, values, strict=True)}


def weights(result):
    return torch.stack([result[f'weight_{term}'] for term in TERMS])


@pytest.fixture
def clock(monkeypatch):
    """A message hub whose epoch a test sets."""
    hub = MessageHub('test_torchjd_balancer')
    monkeypatch.setattr(MessageHub, 'get_current_instance', lambda: hub)
    return hub


@pytest.mark.parametrize('scalarizer', SCALARIZERS, ids=str)
def test_the_gradient_is_the_scalarizers(scalarizer):
    """With respect to losses and parameters; and what has parameters, the value."""
    balancer, ours, theirs = build(scalarizer), *(losses(2., 0.5, 3.) for _ in '12')
    expected = build(scalarizer).scalarizer(torch.stack(list(theirs.values())))
    expected.backward()
    result = balancer(ours)
    total = sum(value for key, value in result.items() if 'loss' in key)
    total.backward()
    torch.testing.assert_close(*([each.grad for each in terms.values()]
                                 for terms in (ours, theirs)))
    learned = [each for each in balancer.parameters() if each.requires_grad]
    assert ('loss_scalarizer' in result) == bool(learned) == (
        scalarizer in ('IMTLL', 'UW'))
    if learned:
        torch.testing.assert_close(total, expected)
        assert all(each.grad.any() for each in learned)


def test_constant_is_the_manual_balancer():
    ours, theirs = losses(2., 0.5, 3.), losses(2., 0.5, 3.)
    manual = MODELS.build(dict(type='ManualBalancer', ratios=WEIGHTS),
                          default_args=dict(terms=TERMS))
    torch.testing.assert_close(
        build(dict(type='Constant', weights=WEIGHTS))(ours), manual(theirs),
        rtol=0, atol=0)


def test_uw_is_the_uncertainty_balancer():
    uncertainty = MODELS.build(dict(type='UncertaintyBalancer'),
                               default_args=dict(terms=TERMS))
    ours = build('UW')
    values = torch.tensor([0.3, -1., 2.])
    uncertainty.log_variance.data.copy_(values)
    ours.scalarizer.log_var.data.copy_(values)
    totals = [sum(value for key, value in each(losses(2., 0.5, 3.)).items()
                  if 'loss' in key) for each in (uncertainty, ours)]
    torch.testing.assert_close(*totals)
    for total in totals:
        total.backward()
    torch.testing.assert_close(uncertainty.log_variance.grad,
                               ours.scalarizer.log_var.grad)


def test_dwa_goes_by_epochs(clock):
    """Its equation: softmax of the last two epochs' ratios over a temperature."""
    balancer = build(dict(type='DWA', temperature=2.))
    epochs = [[(4., 2., 1.), (2., 2., 3.)], [(2., 2., 2.), (1., 2., 2.)],
              [(1., 1., 1.)]]
    for epoch, batches in enumerate(epochs):
        clock.update_info('epoch', epoch)
        for values in batches:
            found = weights(balancer(losses(*values)))
            assert epoch == 2 or found.tolist() == [1, 1, 1]
    ratios = torch.tensor([1.5 / 3, 1., 1.])
    torch.testing.assert_close(found, 3 * (ratios / 2).softmax(0))


def test_famo_learns_from_the_losses_of_the_next_step():
    balancer, theirs = build('FAMO'), torchjd.scalarization.FAMO(3)
    for values in ((4., 2., 1.), (3., 2., 1.), (2.5, 1.9, 1.)):
        found = weights(balancer(losses(*values)))
        values = torch.tensor(values)
        if theirs._prev_losses is not None:
            theirs.update(values)
        theirs(values)
        z = theirs._w.softmax(0).detach()
        torch.testing.assert_close(found, z / values / (z / values).sum())
    # that which falls slowly gains
    assert theirs._w[2] > theirs._w[1] > theirs._w[0]
    # which is for its own optimizer to change
    assert not any(each.requires_grad for each in balancer.parameters())


@pytest.mark.parametrize('scalarizer', SCALARIZERS, ids=str)
def test_a_term_that_nobody_sees(scalarizer, clock):
    balancer = build(scalarizer)
    clock.update_info('epoch', 0)
    for value in (3., 0., math.nan, 3.):
        result = balancer(losses(2., 0.5, value))
        assert weights(result).isfinite().all()
        # it is taken to be what it was
        assert value == 3 or result['loss_c'].detach().tolist() != 3
    if scalarizer != 'FAMO':
        return
    # whose logits nothing has moved
    assert balancer.scalarizer._w.tolist() == [0, 0, 0]


@pytest.mark.parametrize('scalarizer', ['DWA', 'FAMO', 'IMTLL'])
def test_a_state_goes_on(scalarizer, clock):
    """After a checkpoint at any step the weights are what they would have been."""
    generator = torch.Generator().manual_seed(0)
    steps = (1 + torch.rand(12, 3, generator=generator)).tolist()

    def train(balancer, start, end):
        found = []
        for step in range(start, end):
            clock.update_info('epoch', step // 4)
            found.append(weights(balancer(losses(*steps[step]))))
        return found

    whole = train(build(scalarizer), 0, 12)
    for cut in range(13):
        first, second = build(scalarizer), build(scalarizer)
        found = train(first, 0, cut)
        second.load_state_dict(first.state_dict(), strict=True)
        torch.testing.assert_close(found + train(second, cut, 12), whole,
                                   rtol=0, atol=0)
    assert scalarizer == 'IMTLL' or (whole[-1] != whole[0]).all()


@pytest.mark.parametrize('scalarizer', SCALARIZERS, ids=str)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(scalarizer, dtype):
    found = []
    for cast in (False, True):
        with autocast('cpu', enabled=cast, dtype=torch.bfloat16):
            found.append(build(scalarizer)({
                term: value.to(dtype if cast else torch.float32)
                for term, value in losses(2000., 0.5, 3.).items()}))
    torch.testing.assert_close(*found)
    assert all(value.dtype == torch.float32 for value in found[1].values())


@pytest.mark.parametrize('scalarizer, message', [
    ('Best', "scalarizer.type.*'DWA'.*'Best'"), (dict(), 'scalarizer.type'),
    ('Scalarizer', "scalarizer.type.*'Scalarizer'"),
    (dict(type='STCH', mu=-1.), 'STCH.*mu'), ('STCH', 'STCH.*mu'),
    (dict(type='Constant', weights=dict(a=1.)), "weights of Constant.*'c'.*'a': 1")])
def test_wrong_arguments(scalarizer, message):
    with pytest.raises(UserError, match=message):
        build(scalarizer)


def test_without_torchjd(monkeypatch):
    for name in [each for each in sys.modules if each.startswith('torchjd.')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'torchjd', None)
    with pytest.raises(UserError, match=r'mmpose_wloss\[torchjd\]'):
        build('DWA')
