"""A study that is begun on one machine goes on on another."""

import json

import distillation
import heatmap_losses
import integral_pose3d
import label_next
import numpy as np
import pose_density_weights
import precision as precision_module
import pytest
import semi_supervised
import study as study_module
import temporal_loss
from mmengine.config import Config
from paired import difference
from same_data import is_same
from scipy import stats
from study import Study

STUDIES = [semi_supervised.STUDY, semi_supervised.EMBEDDED,
           pose_density_weights.EMBEDDED, label_next.UNLABELED_STUDY, *(
    module.STUDY for module in (distillation, heatmap_losses, integral_pose3d,
                                label_next, pose_density_weights, temporal_loss))]
OPTIONS = {'plain': {}, 'short': {'epochs': 3}}


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
    assert study.missing() == [('plain', 1), ('short', 0), ('short', 1)]
    # where joints were rounded otherwise
    study.annotations.write_text(json.dumps(annotations(moved=0.01)))
    study.inputs = dict(effective_sample_size=812.35)
    study.add(row(1))
    assert study.missing() == [('short', 0), ('short', 1)]
    content = json.loads(study.file.read_text())
    assert content['data'] == begun
    # kept once
    assert content['inputs'] == [row(0)['inputs']]
    assert [each['inputs'] for each in study.rows()] == 2 * content['inputs']
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
    study.add(row(0, 'short', epochs=10))
    assert len(study.missing()) == 4


@pytest.fixture
def trainings(monkeypatch):
    """What trainings are made of, in place of trainings."""
    monkeypatch.setattr(
        study_module, 'Training',
        lambda config, root, options, name, **kwargs: dict(
            options=options, name=name, config=str(config), **kwargs))
    monkeypatch.setattr(study_module, 'faster_precision', lambda config: 'float32')


@pytest.mark.parametrize('precision, wrapper', [
    ('bfloat16', 'Bfloat16OptimWrapper'), ('float32', None)])
def test_a_training_takes_the_faster_precision(study, trainings, monkeypatch,
                                               precision, wrapper):
    monkeypatch.setattr(study_module, 'faster_precision', lambda config: precision)
    training = study.training('short', 1)
    assert training['options'].get('optim_wrapper.type') == wrapper
    assert training['options']['train_cfg.max_epochs'] == 3
    assert training['name'] == 'short_1'
    config = Config(dict(optim_wrapper=dict(type=wrapper or 'OptimWrapper')))
    assert study.precision(config) == precision


@pytest.mark.parametrize('config, key', [
    ('demo/resnet18_mse_annypose', 'train_dataloader.dataset'),
    ('demo/supervised_resnet18_annypose', 'train_dataloader.dataset.dataset'),
    ('demo/posedual_resnet18_annypose', 'train_dataloader.dataset.datasets.0'),
    ('lspet/posedual_efficientnet_lite0_lspet',
     'train_dataloader.dataset.datasets.0.dataset')])
def test_a_seed_has_its_own_labels(study, trainings, config, key):
    study.configurations = {'few': {
        'config': f'configs/{config}.py', 'labels': 20, 'seeds_from': 100}}
    study.seeds = dict(few=3)
    options = study.training('few', 2)['options']
    assert options[f'{key}.indices'] == list(range(40, 60))
    assert options['randomness.seed'] == 102
    merged = Config.fromfile(str(study_module.ROOT / f'configs/{config}.py'))
    merged.merge_from_dict(options)
    dataset = merged
    for part in key.split('.'):
        dataset = dataset[int(part) if part.isdigit() else part]
    assert dataset.type == 'CocoDataset' and len(dataset.indices) == 20


def test_a_teacher_is_that_of_the_seed_or_the_only_one(study, trainings):
    study.configurations = {'one': {}, 'each': {},
                            'by one': {'teacher': 'one'},
                            'by each': {'teacher': 'each'}}
    study.seeds = {'one': 1, 'each': 3, 'by one': 3, 'by each': 3}
    assert study.training('by one', 2)['after']['name'] == 'one_0'
    assert study.training('by each', 2)['after']['name'] == 'each_2'


def test_only_what_is_asked_for_is_missing(study):
    study.only = '^sh'
    assert study.missing() == [('short', 0), ('short', 1)]


def test_differences_are_paired_and_shares_of_the_headroom(study):
    study.configurations = {'few': {}, 'all': {}, 'few, ours': {}, 'few, other': {}}
    study.seeds = dict.fromkeys(study.configurations, 3)
    study.comparisons = [('few, ours', 'few'), ('few, other', 'few'),
                         ('few, ours', 'few', 'PCK')]
    study.figures = {'coco/AP': 'AP', 'PCK': 'PCK'}
    study.headrooms = {'few': ('few', 'all'), 'many': ('all', 'few')}
    for name, values in {'few': (.2, .3, .4), 'all': (.4, .5, .6),
                         'few, ours': (.25, .37)}.items():
        for seed, value in enumerate(values):
            study.add(dict(configuration=name, options={}, seed=seed, epochs=10,
                           figures={'coco/AP': value, 'PCK': 2 * value}, curve={},
                           inputs=study.inputs, seconds=60.))
    (_, _, figure, each), (*_, twice) = study.differences()
    assert figure == 'coco/AP' and each.pairs == 2  # seed 2 has no partner
    assert each.mean == pytest.approx(.06) and twice.mean == pytest.approx(.12)
    assert study.headroom('few, ours').mean == pytest.approx(.2)
    # twice the difference, of twice the headroom
    assert study.headroom('few, ours', 'PCK').mean == pytest.approx(.4)
    assert study.table_of_differences().count('30%') == 2
    line, = study.headroom_lines('few, ours')
    assert '0.300' in line and '0.500' in line and '± 0.100' in line
    assert '2 of them take about 1 minutes' in study.duration(
        [('few', 0), ('all', 0), ('new', 0)], 2)
    # a headroom that may be none has no shares
    study.add(dict(configuration='all', options={}, seed=3, epochs=10, figures={
        'coco/AP': 0., 'PCK': 0.}, curve={}, inputs=study.inputs, seconds=60.))
    study.seeds['few'] = study.seeds['all'] = 4
    study.add(dict(configuration='few', options={}, seed=3, epochs=10, figures={
        'coco/AP': .9, 'PCK': .9}, curve={}, inputs=study.inputs, seconds=60.))
    assert '%' not in study.table_of_differences().partition('\n')[2]


def test_a_report_stands_between_two_comments_of_its_page(study, tmp_path):
    study.page = tmp_path / 'page.md'
    study.page.write_text('# Title\n')
    with pytest.raises(ValueError, match=r'page\.md'):
        study.page_with_report()
    begin = f'<!-- rows of {study.name} -->'
    study.page.write_text(f'before\n{begin}\nold\n{study_module.END}\nafter\n')
    study.add(row(0))
    text = study.page_with_report()
    assert text == (f'before\n{begin}\n\n{study.report()}\n\n{study_module.END}'
                    '\nafter\n')
    assert '0.5' in text
    study.page.write_text(text)
    assert study.page_with_report() == text


def test_a_difference_has_the_interval_of_students_t():
    ours, others = {0: .5, 1: .7, 2: .6, 5: 1.}, {2: .5, 0: .3, 1: .6}
    found = difference(ours, others)
    low, high = stats.ttest_rel([.5, .7, .6], [.3, .6, .5]).confidence_interval()
    assert found == pytest.approx((np.mean([.2, .1, .1]), low, high, 3))
    assert not found.significant
    assert difference({0: 1., 1: 1.1}, {0: 0., 1: .1}).significant
    assert difference({0: 1.}, {0: .5}) == (.5, -np.inf, np.inf, 1)
    assert difference({0: 1.}, {1: .5}).pairs == 0


def test_the_faster_precision_is_measured_on_the_network(monkeypatch):
    config = Config.fromfile(
        str(study_module.ROOT / 'configs/demo/posedual_resnet18_annypose.py'))
    monkeypatch.setattr(precision_module.torch.cuda, 'is_available', lambda: False)
    expected = {True: 'float32', False: 'bfloat16'}
    for exact_is_faster, name in expected.items():
        precision_module._faster.cache_clear()
        clock, calls = [0.], [0]

        def now(exact_is_faster=exact_is_faster, clock=clock, calls=calls):
            # every second call ends a step, every second step is in bfloat16
            calls[0] += 1
            half = calls[0] % 4 in (3, 0)
            clock[0] += 2. if half == exact_is_faster else 1.
            return clock[0]

        monkeypatch.setattr(precision_module.time, 'process_time', now)
        assert precision_module.faster_precision(config) == name
    precision_module._faster.cache_clear()
    monkeypatch.setattr(precision_module.torch.cuda, 'is_available', lambda: True)
    assert precision_module.faster_precision(config) == 'float32'


@pytest.mark.parametrize('one, other, same', [
    (1000, 1000.5, True), (1000, 1002, False), ([1, 2], [1], False),
    (dict(a=[1.]), dict(a=[1.0001]), True), (dict(a=1), dict(b=1), False),
    ('a', 'b', False), (None, None, True), (None, 0, False),
    (1, '1', False)])
def test_values_within_rounding(one, other, same):
    assert is_same(one, other) is same


def test_networks_are_told_from_their_ensemble():
    figures = semi_supervised.EMBEDDED.figures_of
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
    pair, = study.pairs()
    networks = study.configurations[pair]['networks']
    assert {*networks} < {*study.configurations}
    assert all(name != pair for name, _ in study.missing())


@pytest.mark.parametrize('study', STUDIES, ids=lambda study: study.name)
def test_studies_name_what_is_there_and_survive_json(study):
    named = [name for comparison in study.comparisons for name in comparison[:2]]
    assert {*named, *(each for bounds in study.headrooms.values() for each in bounds)
            } <= {*study.configurations}
    assert all(figure in study.figures for _, _, *rest in study.comparisons
               for figure in rest)
    assert json.loads(json.dumps(study.configurations)) == study.configurations
    # LSP-extended has so many people to label
    assert all(study.seeds[name] * (options.get('labels') or 0) <= 6000
               for name, options in study.configurations.items())


@pytest.mark.parametrize('study', STUDIES, ids=lambda study: study.name)
def test_pages_say_what_rows_say(study):
    assert study.page.read_text() == study.page_with_report()
