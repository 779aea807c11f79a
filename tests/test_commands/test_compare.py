"""Models side by side: what they reach and what they cost."""

import json
from pathlib import Path

from mmpose_wloss.apis import model_comparison
from mmpose_wloss.apis.model_comparison import (
    ModelComparison,
    multiply_adds,
    table_figures,
)
from mmpose_wloss.commands import compare as compare_command
from mmpose_wloss.commands.compare import parse_models
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
# what has learned nothing is far off
test_evaluator = dict(thr=2.)
"""
SPLIT = """
test_evaluator = dict(
    _delete_=True, type='PeopleSplitMetric',
    metric=dict(type='MpiiPCKAccuracy', thr=2.))
"""


@pytest.fixture(scope='module')
def models(tmp_path_factory, mpii_root):
    """Configs and checkpoints of two hourglasses that learned nothing."""
    folder, pairs = tmp_path_factory.mktemp('models'), []
    for stacks, more in ((1, ''), (2, SPLIT)):
        config = folder / f'stacks{stacks}.py'
        config.write_text(CONFIG.format(
            base=str(ROOT / 'configs' / 'hourglass_mobile_s2_mpii.py'),
            stacks=stacks, root=str(mpii_root)) + more)
        init_default_scope('mmpose')
        torch.manual_seed(stacks)
        model = MODELS.build(Config.fromfile(config).model)
        checkpoint = folder / f'stacks{stacks}.pth'
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
        assert checkpoint is None or checkpoint.is_file()
        folders.append(folder)
        return {'PCK': 40. + len(folders)}

    monkeypatch.setattr(model_comparison, 'evaluate', evaluate)
    return folders


def compare(models, out, names=None, **kwargs):
    comparison = ModelComparison(parse_models(models, names), str(out),
                                 seconds=.03, **kwargs)
    comparison.run()
    return comparison


def cells_of(table):
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in table.splitlines() if line.startswith('|')]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:5]]


def test_the_table_holds_what_each_model_reaches_and_costs(models, tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    out = tmp_path / 'out'
    compare(models[:1], out)
    # an ONNX file takes the place of the checkpoint
    config = models[0].partition(':')[0]
    file = next(out.glob('stacks1_*/model.onnx'))
    comparison = compare([*models, f'{config}:{file}'], out,
                         ['stacks1', 'stacks2', 'file'])
    assert comparison.write() == [
        out / 'models.md', out / 'models.json', out / 'models.png',
        out / 'models.html']
    page = (out / 'models.html').read_text()
    assert all(cell in page for row in comparison.cells() for cell in row)
    assert 'data:image/png' in page and 'http' not in page
    table = (out / 'models.md').read_text()
    assert table == comparison.table()
    assert (out / 'models.png').stat().st_size > 5000
    cells = cells_of(table)
    assert {'model', 'parameters (M)', 'GMACs', 'PCK', 'Ankle PCK',
            'checkpoint (MB)', 'ONNX (MB)', 'PyTorch (images/s)',
            'ONNX (images/s)'} < set(cells[0])
    one, two, onnx = comparison.rows
    for row, compared, cell in zip((one, two), comparison.models, cells, strict=False):
        folder, given = compared.folder, Path(row['checkpoint'])
        assert row['network']['parameters'] == sum(
            value.numel() for key, value in torch.load(given)['state_dict'].items()
            if not key.endswith(('_mean', '_var', '_tracked')))
        # without the optimizer
        size = (folder / 'model.pth').stat().st_size
        assert row['network']['bytes'] == size < given.stat().st_size
        assert row['onnx']['bytes'] == (folder / 'model.onnx').stat().st_size
        assert row['onnx']['difference'] < 1e-4
        assert set(row['speed']) == {'pytorch', 'onnx'}
        assert min(row['speed'].values()) > 0
        assert row['figures']['PCK'] > 0
        assert float(cell['PCK']) == pytest.approx(row['figures']['PCK'], rel=1e-3)
    assert two['network']['gmacs'] > one['network']['gmacs']
    assert onnx['figures'] == pytest.approx(one['figures'], abs=1e-2)
    assert set(onnx['speed']) == {'onnx'}
    assert cells[2]['PyTorch (images/s)'] == cells[2]['GMACs'] == '–'
    assert cells[2]['ONNX (MB)'] == cells[0]['ONNX (MB)']
    # the split is told of the one that has it
    assert '\nstacks2:\n\n| images of ' in table
    assert '\nstacks1:\n' not in table
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


def test_what_is_known_is_not_measured_again(models, tmp_path, evaluated, monkeypatch):
    out, models = tmp_path / 'out', models[:1]
    # interrupted, it goes on
    with monkeypatch.context() as context:
        context.setattr(model_comparison, 'Timer', None)
        with pytest.raises(TypeError):
            compare(models, out, onnx=False)
    before = compare(models, out, onnx=False)
    renamed = compare(models, out, names=['another'], onnx=False)
    assert renamed.rows == [dict(before.rows[0], name='another')]
    quick = compare(models, out, batch_size=2, onnx=False)
    assert 'batch size 2' in quick.table()
    assert len(evaluated) == 1

    # another config or checkpoint is another model
    compare(models, out, onnx=False, options={'test_evaluator.thr': .3})
    assert len(evaluated) == 2
    config, checkpoint = models[0].split(':')
    content = torch.load(checkpoint)
    content['state_dict']['backbone.predictions.0.bias'] += 1.
    torch.save(content, tmp_path / 'other.pth')
    compare([f'{config}:{tmp_path / "other.pth"}'], out, onnx=False)
    assert len(evaluated) == 3
    assert len(json.loads((out / 'models.json').read_text())['measured']) == 3


@pytest.mark.parametrize('files, evaluator', [
    (dict(ann_file='a.mat', extended_ann_file='b.mat'), {}),
    (dict(ann_file=['a.mat', 'b.mat']), {}),
    (dict(ann_file='a.mat', bbox_file='b.mat'), {}),
    (dict(ann_file='a.mat'), dict(type='PoseRarityMetric', file='b.mat')),
    (dict(ann_file='a.mat'), dict(ann_file='b.mat'))],
    ids=['extended', 'list', 'boxes', 'density', 'evaluator'])
def test_other_files_are_another_test(files, evaluator, tmp_path, monkeypatch):
    """All count: those of LSP-extended, each of a list, those of the evaluator."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(f"""
test_evaluator = dict({dict(type='PCKAccuracy') | evaluator})
test_dataloader = dict(dataset=dict(type='RepeatDataset', dataset=dict(
    type='LSPDataset', data_root={str(tmp_path)!r}, **{files})))
""")
    digests = set()
    for number, name in enumerate(('a.mat', 'b.mat', 'b.mat', 'x.pth')):
        for file in ('a.mat', 'b.mat', 'x.pth'):
            (tmp_path / file).touch()
        (tmp_path / name).write_text(str(number))
        comparison = ModelComparison(
            [('x', str(config), str(tmp_path / 'x.pth'))],
            str(tmp_path / 'out'))
        digests.add(comparison.models[0].digest)
    assert len(digests) == 4


def test_pairs_and_names(tmp_path):
    for name in ('a.py', 'b.py', 'x.pth', 'work:1/a.py', 'work:1/x.pth'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')

    def parse(*pairs, **kwargs):
        return parse_models(
            [pair.replace('@', f'{tmp_path}/') for pair in pairs], **kwargs)

    url = 'https://example.org/x.pth'
    assert parse('@a.py:@x.pth', '@work:1/a.py:@work:1/x.pth', f'@b.py:{url}') == [
        (f'a {tmp_path.name}/x.pth', f'{tmp_path}/a.py', f'{tmp_path}/x.pth'),
        ('a work:1/x.pth', f'{tmp_path}/work:1/a.py', f'{tmp_path}/work:1/x.pth'),
        ('b', f'{tmp_path}/b.py', url)]
    assert [name for name, _, _ in parse(
        '@a.py:@x.pth', '@b.py:@x.pth', names=['one', 'two'])] == ['one', 'two']
    for given, error, message in (
            ('@a.py', UserError, 'a.py'), ('@a.py:', UserError, 'a.py:'),
            ('@work:1/a.py:@y.pth', MissingFile, 'y.pth'),
            (f'@c.py:{url}', MissingFile, r'/c.py\b')):
        with pytest.raises(error, match=message):
            parse(given)
    for names in (['one'], ['one', 'one']):
        with pytest.raises(UserError, match='--name'):
            parse('@a.py:@x.pth', '@b.py:@x.pth', names=names)


def test_the_main_figure_is_that_of_the_config():
    figures = {'coco/AP': .5, 'coco/AR': .6, 'AUC': .7, 'samples': 3.,
               'single_person/coco/AP': .4}

    def of(main):
        return table_figures(dict(network=dict(main=main), figures=figures))

    assert of('coco/AR') == ['coco/AR', 'coco/AP', 'AUC']
    assert of('auto') == of(None) == ['coco/AP', 'coco/AR', 'AUC']
    many = {f'figure {number}': 1. for number in range(20)}
    assert len(table_figures(dict(network=dict(main='figure 15'), figures=many))) == 9


def test_what_does_not_fit_is_refused(models, tmp_path):
    out = tmp_path / 'out'
    for arguments in (dict(seconds=0), dict(batch_size=0)):
        with pytest.raises(UserError, match=next(iter(arguments))):
            ModelComparison([], str(out), **arguments)
    one, two = (pair.split(':') for pair in models)
    with pytest.raises(UserError, match='stacks2.pth'):
        compare([f'{one[0]}:{two[1]}'], out, onnx=False)
    with pytest.raises(MissingFile, match='test_dataloader.dataset.ann_file'):
        compare(models, out, options={
            'test_dataloader.dataset.ann_file': 'nowhere.json'})
    with pytest.raises(UserError, match='test_dataloader'):
        compare(models, out, options={'test_dataloder.batch_size': 2})
    lacking = tmp_path / 'lacking.py'
    lacking.write_text("model = dict(type='TopdownPoseEstimator')\n")
    with pytest.raises(UserError, match='lacking.py has no test_dataloader'):
        compare([f'{lacking}:{one[1]}'], out)
    out.mkdir(exist_ok=True)
    for text in ('[]', '{"format": 9}'):
        (out / 'models.json').write_text(text)
        with pytest.raises(UserError, match='models.json'):
            compare(models, out)


def test_the_command_leaves_out_columns_without_onnx(
        models, tmp_path, evaluated, capsys, monkeypatch):
    monkeypatch.setattr(model_comparison, 'find_spec', lambda name: None)
    for more, note in ([], True), (['--no-onnx'], False):
        assert compare_command.main([
            models[0], '--name', 'ours', '--seconds', '0.03', '--out',
            str(tmp_path / 'out'), *more, '--cfg-options',
            'test_dataloader.batch_size=2']) == 0
        printed = capsys.readouterr()
        # nothing but the tables goes to stdout
        assert printed.out.startswith('| model |')
        assert printed.out.strip() == (
            tmp_path / 'out' / 'models.md').read_text().strip()
        assert ('pip install' in printed.out) == note
        assert 'ONNX (' not in printed.out
        assert 'models.png' in printed.err
