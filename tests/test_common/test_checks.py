"""Checks of arguments name the argument and its value."""

import math
import re

from mmpose_wloss.common import checks
from mmpose_wloss.common.errors import MissingFile, UserError

import numpy as np
import pytest

WRONG = {
    'positive': (checks.positive, [0, -1, math.nan, math.inf, '1', True, None]),
    'non_negative': (checks.non_negative, [-1e-9, math.nan, 'a']),
    'within': (lambda **one: checks.within(0, 1, **one), [-.1, 1.1, math.nan]),
    'whole': (lambda **one: checks.whole(1, **one), [0, 1.5, True, '2']),
    'interval': (lambda **one: checks.interval(0, 1, **one),
                 [(.5, .4), (0, 2), (0, ), 3, (0, math.nan)]),
    'one_of': (lambda **one: checks.one_of(('a', 'b'), **one), ['c', None]),
}


@pytest.mark.parametrize('check, value', [
    (check, value) for check, values in WRONG.values() for value in values])
def test_wrong_arguments_are_named_with_their_value(check, value):
    with pytest.raises(UserError, match=rf'some_name.*{re.escape(repr(value))}'):
        check(some_name=value)


def test_shapes_that_differ_are_named():
    with pytest.raises(UserError, match=r'one and two .*\(2,\) and \(2, 1\)'):
        checks.same_shape(one=np.zeros(2), two=np.zeros((2, 1)))


def test_right_arguments_pass():
    checks.same_shape(one=np.zeros(2), two=np.ones(2), three=np.ones(2))
    checks.positive(one=1e-9, two=3)
    checks.non_negative(zero=0)
    checks.within(0, 1, low=0, high=1)
    checks.whole(0, none=0)
    checks.interval(0, 1, pair=(0, 1), other=[.5, .5])
    checks.one_of(('a', 'b'), choice='b')


def test_a_missing_file_is_both_kinds_of_error():
    error = MissingFile('there is no file x')
    assert isinstance(error, (UserError, FileNotFoundError))
    assert str(error) == 'there is no file x'
    # MMEngine builds an error of the same type with more text
    assert str(type(error)(f'in here: {error}')).startswith('in here: ')
