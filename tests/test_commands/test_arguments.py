"""Arguments that several verbs have."""

from argparse import ArgumentParser

from mmpose_wloss.commands.arguments import KeyValues, change_config, check_device
from mmpose_wloss.common.errors import UserError

import pytest
from mmengine.config import Config, DictAction


def parse(action, *arguments):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action, default={})
    return parser.parse_args(arguments).cfg_options


@pytest.mark.parametrize('arguments', [
    [], ['--cfg-options', 'a=1', 'b.c=[x,(1.5,True)]'],
    ['--cfg-options', 'a=1', 'b=x=y', '--cfg-options', 'a=None', 'c=2,3']])
def test_key_values_are_those_of_mmengine(arguments):
    parsed = parse(KeyValues, *arguments)
    assert parsed == parse(DictAction, *arguments)
    assert bool(parsed) is bool(arguments)


@pytest.mark.parametrize('wrong', ['lr', 'a=[1,2'])
def test_what_is_no_key_value(wrong, capsys):
    with pytest.raises(SystemExit) as end:
        parse(KeyValues, '--cfg-options', 'a=1', wrong)
    assert end.value.code == 2
    assert wrong in capsys.readouterr().err.splitlines()[-1]


def config():
    return Config(dict(
        train_cfg=dict(max_epochs=1), model=dict(backbone=dict(depth=18)),
        pipeline=[dict(type='A')]))


def test_options_change_a_config():
    changed = config()
    change_config(changed, {
        'train_cfg.max_epochs': 2, 'model.backbone.deep': True, 'model.neck.a': 1,
        'val_cfg.b': 3, 'resume': True, 'pipeline.0.type': 'B'})
    assert changed.train_cfg.max_epochs == 2 and changed.resume
    assert changed.model == dict(backbone=dict(depth=18, deep=True), neck=dict(a=1))
    assert changed.val_cfg.b == 3 and changed.pipeline[0].type == 'B'


@pytest.mark.parametrize('key, near', [
    ('trian_cfg.max_epochs', 'train_cfg'), ('model.bakbone.depth', 'backbone'),
    ('pipelin', 'pipeline')])
def test_a_part_that_a_config_has_by_nearly_this_name(key, near):
    changed = config()
    with pytest.raises(UserError) as error:
        change_config(changed, {key: 2})
    assert key in str(error.value) and repr(near) in str(error.value)
    assert changed.to_dict() == config().to_dict()


@pytest.mark.parametrize('key', ['pipeline.7.type', 'train_cfg.max_epochs.x'])
def test_an_option_that_leads_nowhere(key):
    with pytest.raises(UserError, match=key):
        change_config(config(), {key: 2})


def test_devices():
    check_device(None)
    check_device('cpu')
    for device in ('cuda:99', 'gpu'):
        with pytest.raises(UserError, match=device):
            check_device(device)
