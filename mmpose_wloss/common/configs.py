"""What a config names: its components, its data sets, their files."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

# keys of a data set under which annotation files may stand
ANNOTATION_KEYS = ('ann_file', 'extended_ann_file')


def is_of_class(config: Any, name: str) -> bool:
    """Whether a config is one of a class, by its name or, lazy, by itself."""
    kind = config.get('type') if isinstance(config, dict) else None
    kind = getattr(kind, '__name__', kind)
    return isinstance(kind, str) and kind.rpartition('.')[2] == name


def components(config: Any, key: str = '') -> Iterator[tuple[str, dict]]:
    """Each dict within a config, the outer ones first.

    Args:
        config (Any): A config, or any part of one.
        key (str): Its own key, which the others begin with. Defaults to none.

    Yields:
        tuple[str, dict]: Key, joined by dots, and the dict.
    """
    if isinstance(config, dict):
        yield key, config
        parts = config.items()
    else:
        parts = enumerate(config if isinstance(config, (list, tuple)) else ())
    for part, value in parts:
        yield from components(value, f'{key}.{part}' if key else str(part))


def components_of_class(config: Any, name: str,
                        key: str = '') -> Iterator[tuple[str, dict]]:
    """Each component of a class within a config, as :func:`components`."""
    return ((key_of, one) for key_of, one in components(config, key)
            if is_of_class(one, name))


def data_sets(config: dict, key: str = '') -> Iterator[tuple[str, dict]]:
    """Each data set that reads files, within those that combine or wrap.

    Args:
        config (dict): Config of a data set.
        key (str): Its own key. Defaults to none.

    Yields:
        tuple[str, dict]: Key, joined by dots, and config.
    """
    wrapped = [(f'{key}.dataset', config['dataset'])
               ] if config.get('dataset') else []
    wrapped += [(f'{key}.datasets.{index}', one)
                for index, one in enumerate(config.get('datasets') or ())]
    for key_of, one in wrapped:
        yield from data_sets(one, key_of)
    if not wrapped:
        yield key, config


def without_cache(config: dict) -> dict:
    """A data set's config that reads images, for those who look at a few."""
    if is_of_class(config, 'CropCache'):
        return without_cache(config['dataset'])
    changed = {key: value for key, value in config.items() if key != 'cache'}
    if config.get('dataset'):
        changed['dataset'] = without_cache(config['dataset'])
    if config.get('datasets'):
        changed['datasets'] = [without_cache(one) for one in config['datasets']]
    return changed


def annotation_files(config: dict) -> list[Path]:
    """The annotation files of a data set's config, each once, in order."""
    files = []
    for _, one in data_sets(config):
        for name in ANNOTATION_KEYS:
            paths = one.get(name) or []
            for path in [paths] if isinstance(paths, str) else paths:
                files.append(Path(one.get('data_root') or '', path))
    return list(dict.fromkeys(files))


def add_import(cfg: dict) -> None:
    """Let a config import this package, so that any tool can use it.

    Args:
        cfg (Config): The config, changed in place.
    """
    imports = cfg.get('custom_imports') or dict(
        imports=[], allow_failed_imports=False)
    names = imports['imports']
    names = [names] if isinstance(names, str) else list(names)
    if 'mmpose_wloss' not in names:
        cfg['custom_imports'] = dict(imports, imports=[*names, 'mmpose_wloss'])


def change_config(cfg: 'Config', options: Mapping[str, Any] | None) -> None:
    """Change keys of a config, as ``--cfg-options`` says.

    Args:
        cfg (Config): The config, changed in place.
        options (Mapping, optional): Values by keys, which are joined by dots. A new
            key of a part is left to who is built of it.

    Raises:
        UserError: If the config lacks a part, but has one with nearly this name; or
            if a key leads into what is no part.
    """
    for key, value in (options or {}).items():
        part, names = cfg, key.split('.')
        for name in names[:-1] or names:
            known = list(part.keys()) if hasattr(part, 'keys') else [name]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if near and name not in known:
                raise UserError(f'option {key}: the config has no {name!r} '
                                f'there. Did you mean {near[0]!r}?')
            if name not in known or not hasattr(part, 'keys'):
                break
            part = part[name]
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, LookupError, TypeError) as error:
            raise UserError(f'option {key} does not fit the config: '
                            f'{error}') from error
