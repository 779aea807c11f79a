"""The data set: which pictures are there, which are missing, who draws them.

Every picture depends on (seed, split, index) alone. So pictures can be drawn
in any order by any number of processes, at any time.
"""

import json
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import coco
from .body import anny_version
from .errors import MissingAnnyError, RenderError, check_range
from .poses import DEFAULT_CLASS_SHARES

FORMAT_VERSION = 1
SPLITS = ('train', 'val', 'unlabeled')


@dataclass(frozen=True)
class RenderParameters:
    """What the pictures look like.

    Args:
        seed (int): Everything random comes from it. Not negative.
        size (int): Width and height of the pictures, pixels, at least 32.
        class_shares (Mapping[str, float]): Probability of each class of pose;
            sums to 1. Each person's class is drawn from it, so that the
            shares in a data set are near these, not equal to them.
        yaw (float): Largest turn from facing the camera, degrees, 0 to 180.
        occluders (float): Probability of a thing in front of the people.
        people (float): Probability of a second person in a picture.

    Raises:
        RenderError: If a value is outside its range.
    """
    seed: int = 0
    size: int = 128
    class_shares: Mapping[str, float] = field(
        default_factory=lambda: dict(DEFAULT_CLASS_SHARES))
    yaw: float = 60.
    occluders: float = 0.15
    people: float = 0.1

    def __post_init__(self) -> None:
        check_range(0, math.inf, seed=self.seed)
        check_range(32, math.inf, size=self.size)
        check_range(0, 180, yaw=self.yaw)
        check_range(0, 1, occluders=self.occluders, people=self.people,
                    **self.class_shares)
        unknown = sorted(set(self.class_shares) - set(DEFAULT_CLASS_SHARES))
        if unknown:
            raise RenderError(
                f'class_shares has the unknown {", ".join(unknown)}; there are '
                f'{", ".join(DEFAULT_CLASS_SHARES)}')
        total = sum(self.class_shares.values())
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise RenderError(f'class_shares must sum to 1, got {total:g}')
        # one form for one meaning: parameters are compared
        object.__setattr__(
            self, 'class_shares', {
                name: float(self.class_shares[name])
                for name in DEFAULT_CLASS_SHARES
                if self.class_shares.get(name)
            })


def render_dataset(out: str | os.PathLike,
                   counts: Mapping[str, int],
                   parameters: RenderParameters | None = None,
                   workers: int = 2,
                   progress: bool = True) -> dict:
    """Render what is missing of a data set and write its annotations.

    An interrupted call loses nothing that is finished; the same call goes on
    from there. Asking for more pictures adds to those that are there, asking
    for fewer leaves them.

    Args:
        out (str | os.PathLike): Folder of the data set.
        counts (Mapping[str, int]): Pictures per split (train, val, unlabeled).
        parameters (RenderParameters | None): None takes the defaults.
        workers (int): Processes, at least 1. They change nothing but time.
        progress (bool): Show a progress bar on stderr.

    Returns:
        dict: ``images`` and ``people`` per split, ``rendered``, ``seconds``,
        ``class_shares`` and ``visible_share`` (of the joints, over the splits
        with labels), ``contact_sheet`` (a path, or None without labels).

    Raises:
        RenderError: If a count is negative, or the folder holds a data set of
            other parameters.
        MissingAnnyError: If there is something to render and ``anny`` is not installed.
        OSError: If the folder cannot be written, or a rendering process is killed.
    """
    start = time.monotonic()
    check_range(0, math.inf, **counts)
    check_range(1, math.inf, workers=workers)
    if not any(counts.values()) or set(counts) - set(SPLITS):
        raise RenderError(f'counts must ask for pictures of {", ".join(SPLITS)}'
                          f', got {dict(counts)}')
    parameters = parameters or RenderParameters()
    out = Path(out)
    _claim(out, parameters)
    records = {split: _read_records(out, split) for split in SPLITS}
    tasks = [(split, index) for split in SPLITS
             for index in range(counts.get(split, 0))
             if index not in records[split]]
    if tasks:
        anny_version()
        _render(out, tasks, parameters, workers, progress, records)
    _write_annotations(out, records, bool(tasks))
    return _summary(out, records, len(tasks), time.monotonic() - start)


def _claim(out, parameters):
    """Make the folders, or check that they hold these parameters."""
    wanted = dict(format_version=FORMAT_VERSION, **asdict(parameters))
    path = out / 'parameters.json'
    found = json.loads(path.read_text()) if path.exists() else None
    try:
        wanted['anny'] = anny_version()
    except MissingAnnyError:
        if found is None:
            raise
        # a finished data set can be used without the body model
        wanted['anny'] = found.get('anny')
    if found is None:
        for folder in ('annotations', 'records', *SPLITS):
            (out / folder).mkdir(parents=True, exist_ok=True)
        coco.write_json(path, wanted)
        return
    different = [f'{key}: {found.get(key)} there, {value} asked for'
                 for key, value in wanted.items() if found.get(key) != value]
    if different:
        raise RenderError(
            f'{out} holds a data set made with other parameters; nothing was '
            f'changed. Choose another folder, or: {"; ".join(different)}')


def _record_file(out, split):
    return out / 'records' / f'{split}.jsonl'


def _read_records(out, split):
    """Read what is finished: whole lines whose picture is there."""
    path = _record_file(out, split)
    if not path.exists():
        return {}
    pictures = set(os.listdir(out / split))
    records, whole = {}, 0
    with open(path, 'rb+') as file:
        for line in file:
            if not line.endswith(b'\n'):
                # cut off, or the next line would be glued to it
                file.truncate(whole)
                break
            whole += len(line)
            record = json.loads(line)
            if record['image']['file_name'] in pictures:
                records[record['index']] = record
    return records


def _render(out, tasks, parameters, workers, progress, records):
    """Render the tasks and add what is known of each to the records."""
    from tqdm import tqdm
    context = multiprocessing.get_context('spawn')
    executor = ProcessPoolExecutor(
        min(workers, len(tasks)), context, _start_worker,
        (str(out), parameters, context.Lock()))
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(
            total=len(tasks), unit='image', disable=not progress,
            desc='loading the body model (the first time: one minute)'))
        files = {
            split: stack.enter_context(open(_record_file(out, split), 'a'))
            for split in dict.fromkeys(split for split, _ in tasks)
        }
        try:
            with _environment_of_workers():
                futures = [executor.submit(_render_task, *task) for task in tasks]
            for future in as_completed(futures):
                split, record = future.result()
                files[split].write(json.dumps(record) + '\n')
                files[split].flush()
                records[split][record['index']] = record
                bar.set_description(split, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            print(f'\n{bar.n} of {len(tasks)} missing images are finished and '
                  f'kept in {out}. The same command goes on from there.',
                  file=sys.stderr)
            raise
        except BrokenProcessPool:
            raise ChildProcessError(
                f'a rendering process ended unexpectedly; {bar.n} of '
                f'{len(tasks)} missing images are finished and kept in {out}. '
                'The same command goes on from there, with fewer workers if '
                'memory was short.') from None
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment_of_workers():
    """Processes started within leave Ctrl-C to their parent, one core each.

    NumPy's linear algebra reads its number of threads when it is loaded.
    """
    environment = os.environ.copy()
    os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1',
                      MKL_NUM_THREADS='1')
    # only the main thread may set handlers, and only it gets Ctrl-C
    main = threading.current_thread() is threading.main_thread()
    handler = main and signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
        os.environ.clear()
        os.environ.update(environment)


_worker: dict = {}


def _end_with_parent():
    """A killed parent cannot stop its processes; they stop themselves."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _start_worker(out, parameters, lock):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2
    import torch

    from .body import BodyModel, keep_cache_in
    from .scene import SceneRenderer

    # One thread each: the processes share the cores, and sums of floats come
    # out the same everywhere.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    keep_cache_in(out)
    with lock:
        # the first to load the model writes the cache the others read
        model = BodyModel()
    _worker.update(
        out=Path(out), seed=parameters.seed, renderer=SceneRenderer(
            model, parameters.size, dict(parameters.class_shares),
            parameters.yaw, parameters.occluders, parameters.people))


def _render_task(split: str, index: int) -> tuple[str, dict]:
    import cv2
    import numpy as np

    seed = np.random.SeedSequence(
        _worker['seed'], spawn_key=(SPLITS.index(split), index))
    image, camera, labels = _worker['renderer'].render(np.random.default_rng(seed))
    _, encoded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    coco.write_bytes(_worker['out'] / split / coco.file_name(index), encoded.tobytes())
    record = dict(index=index, image=coco.image_entry(index, camera))
    if split == 'unlabeled':
        record['boxes'] = coco.box_entries(index, labels)
    else:
        record['annotations'] = coco.annotation_entries(index, labels)
    return split, record


def _write_annotations(out, records, changed):
    """Write the files of each split and the sheet, unless they hold the records."""
    info = dict(
        description='People rendered from the parametric body model anny',
        version=str(FORMAT_VERSION),
        # its former name: studies know the data by the file's digest
        contributor='mmpose_wloss.synthetic',
        license_note=coco.LICENSE['name'],
        **json.loads((out / 'parameters.json').read_text()))
    folder, sheet = out / 'annotations', out / 'contact_sheet.jpg'
    shown = next((x for x in ('train', 'val') if records[x]), None)
    for split in SPLITS:
        ordered = [records[split][i] for i in sorted(records[split])]
        if not ordered:
            continue
        labeled = split != 'unlabeled'
        name = 'person_keypoints' if labeled else 'image_info'
        path = folder / f'{name}_{split}.json'
        stale = changed or not _holds(path, ordered)
        if split == shown and (stale or not sheet.exists()):
            from .contact_sheet import write_contact_sheet
            write_contact_sheet(sheet, out / split, ordered[:32])
        if stale:
            # in order, whichever process was faster
            lines = ''.join(json.dumps(x) + '\n' for x in ordered)
            coco.write_bytes(_record_file(out, split), lines.encode())
            # a killed run may leave a picture half written
            for leftover in (out / split).glob('.*'):
                leftover.unlink()
            if not labeled:
                coco.write_json(folder / 'person_boxes_unlabeled.json', [
                    box for record in ordered for box in record['boxes']])
            # last, so that the next call knows whether all was written
            coco.write_json(path, coco.content(ordered, info, labeled))


def _holds(path, ordered):
    """Whether a file of annotations is there, and of these records."""
    return path.exists() and json.loads(path.read_text())['images'] == [
        record['image'] for record in ordered]


def _summary(out, records, rendered, seconds):
    people = [
        annotation for split in ('train', 'val')
        for record in records[split].values()
        for annotation in record['annotations']
    ]
    classes = Counter(person['pose_class'] for person in people)
    visible = sum(flag == 2 for person in people for flag in person['keypoints'][2::3])
    sheet = out / 'contact_sheet.jpg'
    return dict(
        images={split: len(records[split]) for split in SPLITS},
        people={
            split: sum(
                len(record.get('annotations', record.get('boxes')))
                for record in records[split].values())
            for split in SPLITS
        },
        rendered=rendered,
        seconds=seconds,
        class_shares={
            name: count / len(people) for name, count in classes.most_common()
        },
        visible_share=visible / (17 * len(people)) if people else None,
        contact_sheet=str(sheet) if sheet.exists() else None)
