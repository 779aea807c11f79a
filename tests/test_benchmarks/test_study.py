"""A study that is begun on one machine goes on on another."""

import json

import numpy as np
import pytest
import semi_supervised
import study as study_module
from same_data import is_same
from study import Study

OPTIONS = {'plain': {}, 'fast': {'bfloat16': True, 'epochs': 3}}


def annotations(seed=0, people=200, moved=0.):
    """People of 17 joints, some unlabeled; moved as rounding moves them."""
    rng = np.random.default_rng(seed)
    joints = np.round(rng.uniform(1, 120, (people, 17, 3)), 2)
    joints[..., 2] = rng.choice([0, 1, 2], (people, 17))
    joints[::3, :, 0] += moved
    return dict(images=[dict(id=1)],
                annotations=[dict(keypoints=each.ravel().tolist())
                             for each in joints])


@pytest.fixture
def study(tmp_path):
    study = Study('a study', 'configs/demo/resnet18_mse_annypose.py', OPTIONS,
                  seeds=2, epochs=10, figures={'coco/AP': 'AP'},
                  inputs=dict(effective_sample_size=812.3))
    study.file = tmp_path / 'results.json'
    study.annotations = tmp_path / 'annotations.json'
    study.annotations.write_text(json.dumps(annotations()))
    return study


def row(seed, name='plain', epochs=10, **other):
    return dict(configuration=name, options=OPTIONS[name], seed=seed,
                epochs=epochs, figures={'coco/AP': 0.5}, curve={},
                inputs=dict(effective_sample_size=812.3), **other)


def test_a_study_goes_on_on_another_machine(study):
    study.add(row(0))
    begun = study.data()
    assert study.missing() == [('plain', 1), ('fast', 0), ('fast', 1)]
    # where joints were rounded otherwise
    study.annotations.write_text(json.dumps(annotations(moved=0.01)))
    study.inputs = dict(effective_sample_size=812.35)
    study.add(row(1))
    assert study.missing() == [('fast', 0), ('fast', 1)]
    assert json.loads(study.file.read_text())['data'] == begun
    assert study.table().splitlines()[-1].split('|')[2].strip() == '2'


@pytest.mark.parametrize('others', [
    dict(seed=1), dict(people=199), dict(moved=1.)])
def test_rows_on_other_people_are_not_mixed(study, others):
    study.add(row(0))
    before = study.file.read_bytes()
    study.annotations.write_text(json.dumps(annotations(**others)))
    with pytest.raises(SystemExit, match=r'annotations\.json'):
        study.add(row(1))
    with pytest.raises(SystemExit, match=r'annotations\.json'):
        study.run(minutes=1, processes=1)
    assert study.file.read_bytes() == before


def test_rows_of_other_options_and_inputs_do_not_count(study):
    study.add(dict(row(0), options={'model.a': 1}))
    study.add(dict(row(0), inputs=dict(effective_sample_size=700)))
    study.add(row(0, 'fast', epochs=10))
    assert len(study.missing()) == 4


@pytest.mark.parametrize('over_float32, precision, wrapper', [
    (0.5, 'bfloat16', 'Bfloat16OptimWrapper'), (1.5, 'float32', None)])
def test_bfloat16_where_it_is_faster(study, monkeypatch, over_float32,
                                     precision, wrapper):
    monkeypatch.setattr(study_module, 'bfloat16_over_float32',
                        lambda: over_float32)
    monkeypatch.setattr(
        study_module, 'Training',
        lambda config, root, options, name, **kwargs: (options, name))
    options, name = study.training('fast', 1)
    assert options.get('optim_wrapper.type') == wrapper
    assert options['train_cfg.max_epochs'] == 3 and 'bfloat16' not in options
    assert name == 'fast_1'
    assert study.precision(OPTIONS['fast']) == precision
    assert study.precision(OPTIONS['plain']) == 'float32'


@pytest.mark.parametrize('one, other, same', [
    (1000, 1000.5, True), (1000, 1002, False), ([1, 2], [1], False),
    (dict(a=[1.]), dict(a=[1.0001]), True), (dict(a=1), dict(b=1), False),
    ('a', 'b', False), (None, None, True), (None, 0, False),
    (1, '1', False)])
def test_values_within_rounding(one, other, same):
    assert is_same(one, other) is same


def test_networks_are_told_from_their_ensemble():
    figures = semi_supervised.STUDY.figures_of
    one = {'coco/AP': .2, 'PCK': .7}
    assert figures(dict(figures=one)) == one
    cons = {'first/PCK': .7, 'first/coco/AP': .2, **one}
    assert figures(dict(figures=cons)) == cons
    dual = {'first/PCK': .6, 'second/PCK': .7, 'first/coco/AP': .2,
            'second/coco/AP': .3, 'ensemble/coco/AP': .4, 'coco/AP': .4, 'PCK': .8}
    found = figures(dict(figures=dual, scalars={
        'first.hardness': {'8': 1.5, '10': 1.25}}))
    assert (found['coco/AP'], found['PCK'], found['ensemble/coco/AP']) == (
        pytest.approx(.25), pytest.approx(.65), .4)
    assert found['hardness'] == 1.25  # of the last epoch


def test_a_pair_of_networks_is_tested_but_not_trained():
    study = semi_supervised.STUDY
    assert semi_supervised.PAIR in study.configurations
    assert all(name != semi_supervised.PAIR for name, _ in study.missing())
