"""A config as text over its base: what differs, in few lines to read and edit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

WIDTH = 79
# statements in an order in which each names only those before it
FIRST = ('custom_imports', 'pose_density', 'batch_size', 'model')
LAST = ('labeled', 'unlabeled', 'train_dataloader', 'val_dataloader',
        'test_dataloader', 'val_evaluator', 'test_evaluator', 'default_hooks',
        'custom_hooks')
# a shorter value is written rather than named
NAMED = 40


@dataclass
class Group:
    """An expression in brackets: keys (or stars) with their expressions."""

    brackets: tuple[str, str]
    items: list[tuple[str, Any]]

    def __str__(self) -> str:
        return ', '.join(f'{key}{item}' for key, item in self.items).join(
            self.brackets)

    def lines(self, indent: int, before: int) -> str:
        """The text, broken where it is too long.

        Args:
            indent (int): Columns that the line is indented by.
            before (int): Columns of that line that are taken.
        """
        if before + len(str(self)) <= WIDTH or not self.items:
            return str(self)
        pad = ' ' * (indent + 4)
        done, line = [], ''
        for number, (key, item) in enumerate(self.items, start=1):
            comma = ',' if number < len(self.items) else self.brackets[1]
            text = f'{key}{item}{comma}'
            if line and len(pad + line + text) < WIDTH:
                line += ' ' + text
                continue
            done += [pad + line] if line else []
            if len(pad + text) > WIDTH and isinstance(item, Group):
                text = key + item.lines(indent + 4, len(pad + key) + 1) + comma
            line = text if '\n' not in text else ''
            done += [pad + text] if '\n' in text else []
        return '\n'.join([self.brackets[0], *done, *([pad + line] if line else [])])


def without_scope(config: Any, scope: str = 'mmpose') -> Any:
    """A config as plain dicts, without what MMEngine notes of its source."""
    if isinstance(config, dict):
        return {key: without_scope(value, scope) for key, value in config.items()
                if (key, value) != ('_scope_', scope)}
    if isinstance(config, (list, tuple)):
        return type(config)(without_scope(each, scope) for each in config)
    return config


def frozen(config: Any) -> Any:
    """Something hashable, equal for equal configs."""
    if isinstance(config, dict):
        return frozenset((key, frozen(value)) for key, value in config.items())
    if isinstance(config, (list, tuple)):
        return type(config).__name__, *map(frozen, config)
    return config


def parts(config: dict) -> Iterator[tuple[str, Any]]:
    """Dicts and lists in a config with their paths, outer ones first."""
    level = [('', config)]
    while level:
        path, value = level.pop(0)
        yield path, value
        if isinstance(value, dict):
            level += [(f'{path}.{key}', each) for key, each in value.items()
                      if isinstance(each, (dict, list)) and each
                      and str(key).isidentifier()]


class ConfigText:
    """Writes a config over its base.

    Args:
        base (Config): What ``_base_`` gives.
    """

    def __init__(self, base: Config):
        self.base = without_scope(base.to_dict())
        self.parts = [(f'_base_{path}', value)
                      for path, value in parts(self.base) if path]
        self.names = {}
        for name, value in self.parts:
            self.names.setdefault(frozen(value), name)
        self.own = {}

    def write(self, config: Config) -> str:
        """The statements that turn the base into a config.

        Args:
            config (Config): The config; it has all keys of the base.
        """
        config = without_scope(config.to_dict())
        rank = {name: place - len(FIRST) for place, name in enumerate(FIRST)}
        rank |= {name: place + 1 for place, name in enumerate(LAST)}
        statements = {}
        for key in sorted(config, key=lambda key: rank.get(key, 0)):
            value, old = config[key], self.base.get(key)
            if key in self.base and value == old:
                continue
            both = isinstance(value, dict) and key in self.base
            text = f'{key} = '
            right = (self.overlay(value, old) if both
                     else self.expression(value, key))
            text += (right.lines(0, len(text)) if isinstance(right, Group)
                     else right)
            same = next((name for name, other in statements.items()
                         if other == text.replace(f'{key} = ', f'{name} = ', 1)
                         and len(text) > NAMED), None)
            statements[key] = f'{key} = {same}' if same else text
            if not both:
                self._name(key, value)
        return '\n'.join(statements.values()) + '\n'

    def _name(self, key: str, value: Any) -> None:
        """Let later statements name this one."""
        if isinstance(value, (dict, list)):
            self.names[frozen(value)] = key
            for inner, path in (value.items() if isinstance(value, dict) else ()):
                if isinstance(path, str) and '/' in path:
                    self.own[path] = f'{key}[{inner!r}]'
        else:
            self.own[key] = value

    def overlay(self, new: dict, old: Any) -> Group:
        """What MMEngine merges into an old value to make a new dict."""
        if not isinstance(old, dict) or not old.keys() <= new.keys():
            return mapping({'_delete_': 'True', **{
                key: self.expression(value, key) for key, value in new.items()}})
        return mapping({
            key: self.overlay(value, old[key])
            if isinstance(value, dict) and key in old
            else self.expression(value, key)
            for key, value in new.items()
            if key not in old or value != old[key] or (key, value) in self.own.items()})

    def expression(self, value: Any, key: str = '') -> Group | str:
        """A value, by its name where the base or a statement has it.

        Args:
            value (Any): The value.
            key (str): The key that it stands under.
        """
        if not isinstance(value, (dict, list)):
            if key in self.own and self.own[key] == value:
                return key
            if isinstance(value, str):
                if self.base.get(key) == value:
                    return f'_base_.{key}'
                if value in self.own:
                    return self.own[value]
            return repr(value)
        name = self.names.get(frozen(value))
        if name and len(repr(value)) > NAMED:
            return name
        if isinstance(value, list):
            return self._list(value)
        return self._extended(value) or mapping({
            inner: self.expression(each, inner) for inner, each in value.items()})

    def _extended(self, value: dict) -> Group | None:
        """``dict(_base_.part, key=…)``, where most is as in a part."""
        best, most = None, 2
        for name, part in self.parts:
            if isinstance(part, dict) and part.keys() <= value.keys():
                same = sum(value[key] == part[key] for key in part)
                if same > most and 2 * same > len(value):
                    best, most = (name, part), same
        if best is None:
            return None
        name, part = best
        return Group(('dict(', ')'), [('', name), *(
            (f'{key}=', self.expression(each, key)) for key, each in value.items()
            if key not in part or each != part[key])])

    def _list(self, value: list) -> Group | str:
        """A list, by slices of one of the base where it begins or ends so."""
        def same(one: list, other: list) -> int:
            return next((count for count, (a, b) in enumerate(
                zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

        best = (0, 0, '', [])
        for name, part in self.parts:
            if isinstance(part, list) and isinstance(part[0], dict):
                head = same(value, part)
                tail = min(same(value[::-1], part[::-1]), len(value) - head,
                           len(part) - head)
                head, tail = (count if count > 1 or count == len(part) else 0
                              for count in (head, tail))
                if head + tail > best[0] + best[1]:
                    best = head, tail, name, part
        head, tail, name, part = best
        middle = value[head:len(value) - tail]
        left, right = (f'{name}[{cut}]' for cut in (
            f':{head - len(part) if head > 3 else head}', f'-{tail}:'))
        if head == len(part):
            left = name
        if head and not middle and not tail:
            return left
        return Group('[]', [*([('*', left)] if head else []),
                            *(('', self.expression(each)) for each in middle),
                            *([('*', right)] if tail else [])])


def mapping(items: dict) -> Group:
    """A dict of expressions."""
    if all(str(key).isidentifier() for key in items):
        return Group(('dict(', ')'),
                     [(f'{key}=', value) for key, value in items.items()])
    return Group('{}', [(f'{key!r}: ', value) for key, value in items.items()])
