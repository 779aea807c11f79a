"""A config as text over its base: what differs, in few lines to read and edit."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

STYLE = dict(based_on_style='pep8', split_before_named_assigns=False)
# statements in an order in which each names only those before it
FIRST = ('custom_imports', 'pose_density', 'batch_size', 'model')
LAST = ('labeled', 'unlabeled', 'train_dataloader', 'val_evaluator',
        'test_evaluator', 'default_hooks', 'custom_hooks')
# which others name, so they are written whole
WHOLE = ('labeled', 'unlabeled')
# a shorter value is written rather than named
NAMED = 40


def without_scope(config: Any, scope: str = 'mmpose') -> Any:
    """A config as plain dicts, without what MMEngine notes of its source."""
    if isinstance(config, dict):
        return {key: without_scope(value, scope) for key, value in config.items()
                if (key, value) != ('_scope_', scope)}
    if isinstance(config, (list, tuple)):
        return type(config)(without_scope(each, scope) for each in config)
    return config


def config_text(config: Config, base: Config) -> str:
    """The statements that turn a base into a config.

    Args:
        config (Config): The config; it has all keys of the base.
        base (Config): What ``_base_`` gives.
    """
    return _Writer(without_scope(base.to_dict())).write(
        without_scope(config.to_dict()))


def _parts(config: dict) -> Iterator[tuple[str, Any]]:
    """Dicts and lists in a config with their paths, outer ones first."""
    level = [('_base_', config)]
    while level:
        path, value = level.pop(0)
        yield path, value
        if isinstance(value, dict):
            level += [(f'{path}.{key}', each) for key, each in value.items()
                      if isinstance(each, (dict, list)) and each
                      and str(key).isidentifier()]


def _mapping(items: dict) -> str:
    """The text of a dict of texts."""
    if all(str(key).isidentifier() for key in items):
        return f'dict({", ".join(f"{key}={value}" for key, value in items.items())})'
    return f'{{{", ".join(f"{key!r}: {value}" for key, value in items.items())}}}'


class _Writer:

    def __init__(self, base: dict):
        self.base = base
        self.parts = list(_parts(base))[1:]
        # values and paths of statements before
        self.own = {}
        self.paths = {}

    def write(self, config: dict) -> str:
        rank = {name: place - len(FIRST) for place, name in enumerate(FIRST)}
        rank |= {name: place + 1 for place, name in enumerate(LAST)}
        statements = {}
        for key in sorted(config, key=lambda key: rank.get(key, 0)):
            value = config[key]
            if key in self.base and value == self.base[key]:
                continue
            whole = (key not in self.base or not isinstance(value, dict) or
                     key in WHOLE and self.base[key].keys() <= value.keys())
            text = (self.expression(value, key) if whole
                    else self.overlay(value, self.base[key]))
            same = [name for name, other in statements.items() if other == text]
            statements[key] = same[0] if same and len(text) > NAMED else text
            if whole:
                self.own[key] = value
            for name, path in value.items() if isinstance(value, dict) else ():
                if isinstance(path, str) and '/' in path:
                    self.paths[path] = f'{key}[{name!r}]'
        return FormatCode('\n'.join(
            f'{key} = {text}' for key, text in statements.items()) + '\n',
            style_config=STYLE)[0]

    def overlay(self, new: dict, old: Any) -> str:
        """What MMEngine merges into an old value to make a new dict."""
        if not isinstance(old, dict) or not old.keys() <= new.keys():
            return _mapping({'_delete_': 'True', **{
                key: self.expression(value, key) for key, value in new.items()}})
        return _mapping({
            key: self.overlay(value, old[key])
            if isinstance(value, dict) and key in old
            else self.expression(value, key)
            for key, value in new.items()
            if key not in old or value != old[key] or (key, value) in
            self.own.items()})

    def expression(self, value: Any, key: str = '') -> str:
        """A value, by its name where the base or a statement has it."""
        if not isinstance(value, (dict, list)):
            if key in self.own and self.own[key] == value:
                return key
            if not isinstance(value, str):
                return repr(value)
            if self.base.get(key) == value:
                return f'_base_.{key}'
            return self.paths.get(value, repr(value))
        if len(repr(value)) > NAMED:
            for name, part in [*self.own.items(), *self.parts]:
                if part == value:
                    return name
        if isinstance(value, list):
            return self._list(value)
        return self._extended(value) or _mapping({
            inner: self.expression(each, inner) for inner, each in value.items()})

    def _extended(self, value: dict) -> str | None:
        """``dict(_base_.part, key=…)``, where most is as in a part."""
        def same(part: Any) -> int:
            if not isinstance(part, dict) or not part.keys() <= value.keys():
                return 0
            return sum(value[key] == part[key] for key in part)

        name, part = max(self.parts, key=lambda part: same(part[1]))
        if same(part) < max(3, len(value) / 2):
            return None
        changed = [f'{key}={self.expression(each, key)}'
                   for key, each in value.items() if each != part.get(key, ...)]
        return f'dict({", ".join([name, *changed])})'

    def _list(self, value: list) -> str:
        """A list, which may begin as another one does."""
        def same(part: list) -> int:
            return next((count for count, pair in enumerate(zip(
                value, part, strict=False)) if pair[0] != pair[1]),
                min(len(value), len(part)))

        lists = [(name, part) for name, part in [*self.own.items(), *self.parts]
                 if isinstance(part, list) and part and isinstance(part[0], dict)]
        name, part = max(lists, key=lambda part: same(part[1]), default=('', []))
        count, left = same(part), len(part) - same(part)
        if count < 2 and left:
            count = 0
        elif left:
            name += f'[:{-left if left < 3 else count}]'
        if count == len(value) and count:
            return name
        return '[{}]'.format(', '.join([
            *([f'*{name}'] if count else []), *map(self.expression, value[count:])]))
