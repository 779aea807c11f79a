"""Arguments that several verbs have."""

from argparse import ArgumentParser

from mmpose_wloss.commands.arguments import KeyValues, check_device
from mmpose_wloss.common.errors import UserError

import pytest
from mmengine.config import DictAction


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


def test_devices():
    check_device(None)
    check_device('cpu')
    for device in ('cuda:99', 'gpu'):
        with pytest.raises(UserError, match=device):
            check_device(device)
