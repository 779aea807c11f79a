import importlib.util
import json
import sys
from pathlib import Path

from mmpose_wloss.commands import compare as model_comparison
from mmpose_wloss.commands.compare import (
    ModelComparison,
    multiply_adds,
    parse_candidates,
    table_figures,
)
from mmpose_wloss.common.errors import MissingFile, UserError

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = {base!r}
codec = dict(input_size=(64, 64), heatmap_size=(16, 16))
model = dict(
    backbone=dict(num_stacks={stacks}, num_feats=4, stem_channels=4),
    head=dict(num_stages={stacks}, decoder=codec))
val_pipeline = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs')]
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(
        data_root={root!r}, pipeline=val_pipeline,
        headbox_file={root!r} + '/annotations/mpii_gt_val.mat'))
# what has learnt nothing is far off
test_evaluator = dict(thr=2.)
"""
SPLIT = """
test_evaluator = dict(
    _delete_=True, type='PeopleSplitMetric',
    metric=dict(type='MpiiPCKAccuracy', thr=2.))
"""


@pytest.fixture
def models(tmp_path, mpii_root):
    """Configs and checkpoints of two hourglasses that learnt nothing."""
    pairs = []
    for stacks, more in ((1, ''), (2, SPLIT)):
        config = tmp_path / f'stacks{stacks}.py'
        config.write_text(CONFIG.format(
            base=str(ROOT / 'configs' / 'hourglass_mobile_s2_mpii.py'),
            stacks=stacks, root=str(mpii_root)) + more)
        init_default_scope('mmpose')
        torch.manual_seed(stacks)
        model = MODELS.build(Config.fromfile(config).model)
        checkpoint = tmp_path / f'stacks{stacks}.pth'
        # with what a training keeps beside
        torch.save(dict(state_dict=model.state_dict(), meta={},
                        optimizer=torch.zeros(100_000)), checkpoint)
        pairs.append(f'{config}:{checkpoint}')
    return pairs


@pytest.fixture
def evaluated(monkeypatch):
    """Folders in which models would have been tested, which takes seconds."""
    folders = []

    def evaluate(config, checkpoint, folder):
        assert checkpoint.is_file()
        folders.append(folder)
        return {'PCK': 40. + len(folders)}

    monkeypatch.setattr(model_comparison, 'evaluate', evaluate)
    return folders


def compare(models, out, names=None, **kwargs):
    comparison = ModelComparison(parse_candidates(models, names), str(out),
                                 seconds=.03, **kwargs)
    comparison.run()
    return comparison


def cells_of(table):
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in table.splitlines() if line.startswith('|')]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:4]]


def test_the_table_holds_what_each_model_reaches_and_costs(models, tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    comparison = compare(models, tmp_path / 'out')
    files = comparison.write()
    assert files['table'].read_text() == comparison.table()
    assert files['picture'].stat().st_size > 5000
    head = comparison.table().splitlines()[0]
    assert [cell.strip() for cell in head.split('|')[1:-1]] == [
        'model', 'parameters (M)', 'GMACs', 'PCK', 'Head PCK', 'Shoulder PCK',
        'Elbow PCK', 'Wrist PCK', 'Hip PCK', 'Knee PCK', 'Ankle PCK',
        'PCK@0.1', 'checkpoint (MB)', 'ONNX (MB)', 'PyTorch (images/s)',
        'ONNX (images/s)']
    for row, digest, cells in zip(
            comparison.rows, comparison.digests, cells_of(comparison.table()),
            strict=True):
        folder = comparison.out / f'{row["name"]}_{digest[:8]}'
        model = MODELS.build(Config.fromfile(row['config']).model)
        assert row['network']['parameters'] == sum(
            each.numel() for each in model.parameters())
        # without the optimizer
        size = (folder / 'model.pth').stat().st_size
        assert row['network']['bytes'] == size < Path(
            row['checkpoint']).stat().st_size
        assert row['onnx']['bytes'] == (folder / 'model.onnx').stat().st_size
        assert row['onnx']['difference'] < 1e-4
        assert min(row['speed'].values()) > 0
        assert row['figures']['PCK'] > 0
        assert float(cells['PCK']) == pytest.approx(row['figures']['PCK'],
                                                    rel=1e-3)
    one, two = comparison.rows
    assert two['network']['gmacs'] > one['network']['gmacs']
    # the split is told of the one that has it
    assert '\nstacks2:\n\n| images of ' in comparison.table()
    assert '\nstacks1:\n' not in comparison.table()
    assert 'single_person/PCK' in two['figures']


def test_multiply_adds_are_those_of_convolutions_and_matrices():
    init_default_scope('mmpose')
    codec = dict(type='SimCCLabel', input_size=(64, 96), simcc_split_ratio=2.)
    model = MODELS.build(dict(
        type='TopdownPoseEstimator', backbone=dict(type='ResNet', depth=18),
        head=dict(type='SimCCHead', in_channels=512, out_channels=5,
                  input_size=codec['input_size'], in_featuremap_size=(2, 3),
                  simcc_split_ratio=2., deconv_out_channels=None,
                  decoder=codec)))
    model.eval()
    backbone = FlopAnalyzer(model.backbone, torch.zeros(1, 3, 96, 64))
    backbone.unsupported_ops_warnings(False)
    head = 5 * 512 * 6 + 5 * 6 * (128 + 192)  # a convolution, two matrices
    assert multiply_adds(model) == backbone.by_operator()['conv'] + head


def test_what_is_known_is_not_measured_again(models, tmp_path, evaluated):
    out = tmp_path / 'out'
    before = compare(models, out, onnx=False)
    before.write()
    assert len(evaluated) == 2
    again = compare(models, out, onnx=False)
    assert len(evaluated) == 2 and again.rows == before.rows

    # under other names, or with one more, or with other settings
    renamed = compare(models, out, names=['first', 'second'], onnx=False)
    assert len(evaluated) == 2
    assert [row['figures'] for row in renamed.rows] == [
        row['figures'] for row in before.rows]
    quick = ModelComparison(parse_candidates(models[:1]), str(out),
                            seconds=.05, batch_size=2, onnx=False)
    quick.run()
    assert len(evaluated) == 2
    assert 'batch size 2' in quick.table()

    # another config, checkpoint or annotation is another model
    changed = compare(models[:1], out, onnx=False, options={
        'test_evaluator.thr': .3})
    assert len(evaluated) == 3
    assert changed.digests[0] != before.digests[0]
    checkpoint = models[0].rpartition(':')[2]
    content = torch.load(checkpoint)
    content['state_dict']['backbone.predictions.0.bias'] += 1.
    torch.save(content, checkpoint)
    compare(models[:1], out, onnx=False)
    assert len(evaluated) == 4
    assert len(json.loads((out / 'models.json').read_text())['measured']) == 4


def test_an_interrupted_comparison_goes_on(models, tmp_path, evaluated,
                                           monkeypatch):
    out = tmp_path / 'out'
    with monkeypatch.context() as context:
        def interrupt(*args):
            raise KeyboardInterrupt

        context.setattr(ModelComparison, '_speeds', interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare(models[:1], out, onnx=False)
    assert len(evaluated) == 1
    compare(models, out, onnx=False)
    assert len(evaluated) == 2


def test_without_onnxruntime_its_columns_are_left_out(
        models, tmp_path, evaluated, monkeypatch):
    def missing(name):
        raise UserError('onnxruntime is not installed')

    monkeypatch.setattr(model_comparison, 'import_package', missing)
    comparison = compare(models[:1], tmp_path / 'out')
    assert 'Without the columns of ONNX: onnxruntime is not installed' in (
        comparison.table())
    assert 'ONNX (' not in comparison.table()
    assert comparison.write()['picture'].exists()


def test_pairs_and_names(tmp_path):
    for name in ('a.py', 'b.py', 'x.pth', 'work:1/a.py', 'work:1/x.pth'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')

    def parse(*pairs, **kwargs):
        return parse_candidates(
            [pair.replace('@', f'{tmp_path}/') for pair in pairs], **kwargs)

    one, = parse('@a.py:@x.pth')
    assert one == ('a', f'{tmp_path}/a.py', f'{tmp_path}/x.pth')
    one, = parse('@work:1/a.py:@work:1/x.pth')
    assert one[1:] == (f'{tmp_path}/work:1/a.py', f'{tmp_path}/work:1/x.pth')
    one, = parse('@a.py:https://example.org/x.pth')
    assert one.checkpoint == 'https://example.org/x.pth'
    names = [each.name for each in parse(
        '@a.py:@x.pth', '@a.py:@work:1/x.pth', '@b.py:@x.pth')]
    assert names == [f'a {tmp_path.name}/x', 'a work:1/x', 'b']
    assert [each.name for each in parse(
        '@a.py:@x.pth', '@b.py:@x.pth', names=['one', 'two'])] == ['one', 'two']

    with pytest.raises(ValueError, match='must be CONFIG:CHECKPOINT, but it'):
        parse('@a.py')
    with pytest.raises(ValueError, match='must be CONFIG:CHECKPOINT, but it'):
        parse('@a.py:')
    with pytest.raises(FileNotFoundError, match='no checkpoint .*y.pth'):
        parse('@work:1/a.py:@y.pth')
    with pytest.raises(MissingFile, match=r'no config .*/c.py\b'):
        parse('@c.py:@x.pth')
    with pytest.raises(MissingFile, match=r'no config .*/c.py\b'):
        parse('@c.py:https://example.org/x.pth')
    with pytest.raises(ValueError, match='each of the 2 models, .* 1 names'):
        parse('@a.py:@x.pth', '@b.py:@x.pth', names=['one'])
    with pytest.raises(ValueError, match='two models are called one'):
        parse('@a.py:@x.pth', '@b.py:@x.pth', names=['one', 'one'])


def test_the_main_figure_is_that_of_the_config():
    figures = {'coco/AP': .5, 'coco/AR': .6, 'AUC': .7, 'samples': 3.,
               'single_person/coco/AP': .4}

    def of(main):
        return table_figures(dict(network=dict(main=main), figures=figures))

    assert of('coco/AR') == ['coco/AR', 'coco/AP', 'AUC']
    assert of('auto') == of(None) == ['coco/AP', 'coco/AR', 'AUC']
    many = {f'figure {number}': 1. for number in range(20)}
    assert len(table_figures(dict(network=dict(main='figure 15'),
                                  figures=many))) == 9


def test_what_does_not_fit_is_refused(models, tmp_path):
    out = tmp_path / 'out'
    for kwargs in (dict(seconds=0), dict(batch_size=0)):
        with pytest.raises(ValueError, match='--seconds must be above 0'):
            ModelComparison([], str(out), **kwargs)
    config, checkpoint = models[0].split(':')
    one, two = (pair.split(':') for pair in models)
    with pytest.raises(ValueError, match='stacks2.pth'):
        compare([f'{one[0]}:{two[1]}'], out, onnx=False)
    with pytest.raises(MissingFile, match='test_dataloader.dataset.ann_file'):
        compare(models, out, options={
            'test_dataloader.dataset.ann_file': 'nowhere.json'})
    lacking = tmp_path / 'lacking.py'
    lacking.write_text("model = dict(type='TopdownPoseEstimator')\n")
    with pytest.raises(ValueError, match='lacking.py has no test_dataloader'):
        compare([f'{lacking}:{checkpoint}'], out)
    out.mkdir(exist_ok=True)
    for text, error in (('[]', 'not what this tool wrote'),
                        ('{"format": 9}', 'has format 9')):
        (out / 'models.json').write_text(text)
        with pytest.raises(ValueError, match=f'models.json .*{error}'):
            compare(models, out)


def test_the_tool(models, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location(
        'compare_models', ROOT / 'tools' / 'compare_models.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', [
        'compare_models.py', models[1], '--name', 'ours', '--seconds', '0.03',
        '--out', str(tmp_path / 'out'), '--no-onnx', '--cfg-options',
        'test_dataloader.batch_size=2'])
    assert tool.main() == 0
    printed = capsys.readouterr()
    # nothing but the tables goes to stdout
    assert printed.out.startswith('| model |')
    assert printed.out.strip() == (
        tmp_path / 'out' / 'models.md').read_text().strip()
    assert 'models.png' in printed.err
    monkeypatch.setattr(sys, 'argv', ['compare_models.py', 'nothing'])
    assert tool.main() == 1
    assert capsys.readouterr().err.startswith('error: a model must be')
