"""The file of a pose density: ``.npz`` without pickle."""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.checks import same_shape
from ..common.errors import MissingFile, UserError
from ..common.files import digest_of_files, replaced_whole
from ..version import __version__
from .pose_density import PoseDensity
from .weights import effective_sample_size

FORMAT = 1
KIND = 'pose density'
FIT = 'python -m mmpose_wloss density fit CONFIG'
# attributes of a density and of its axes that the file keeps by these names
VALUES = ('options', 'bandwidth', 'alpha', 'copies', 'torso', 'with_boxes')
ARRAYS = ('held_out', 'fill', 'density_error')
AXES = dict(mean='mean_', components='components_',
            variances='explained_variance_',
            variance_shares='explained_variance_ratio_')
# and of the file itself
ORIGIN = ('joint_names', 'dataset_name', 'annotation_files',
          'annotation_digest')


@dataclasses.dataclass(frozen=True, eq=False)
class PoseDensityArtifact:
    """Weights by annotation, and the density that they come from.

    Attributes:
        ids (np.ndarray): Ids of the annotations, int64 in shape [N].
        weights (np.ndarray): Weight of each, float64 in shape [N].
        log_density (np.ndarray): Log density of each, float64 in shape [N];
            NaN where there is none.
        density (PoseDensity): The density of the poses.
        joint_names (tuple[str]): Names of the K joints.
        dataset_name (str): Name of the data set, as in its metainfo.
        annotation_files (tuple[str]): Names of the annotation files.
        annotation_digest (str): Their SHA-256, as of :func:`digest_of_files`.
        path (str, optional): The file that it was loaded from.
    """
    ids: np.ndarray
    weights: np.ndarray
    log_density: np.ndarray
    density: PoseDensity
    joint_names: tuple[str, ...]
    dataset_name: str
    annotation_files: tuple[str, ...]
    annotation_digest: str
    path: str | None = None

    def __post_init__(self):
        ids, counts = np.unique(self.ids, return_counts=True)
        if len(ids) != len(self.ids):
            raise UserError(f'annotation id {ids[counts.argmax()]} occurs '
                            f'{counts.max()} times; ids must be unique')
        same_shape(ids=self.ids, weights=self.weights,
                   log_density=self.log_density)
        if not (np.isfinite(self.weights) & (self.weights > 0)).all():
            raise UserError('weights must be finite and above 0')

    def __str__(self) -> str:
        return self.path or 'the pose density'

    @property
    def effective_sample_size(self) -> float:
        """Effective sample size of the weights over their number."""
        return effective_sample_size(self.weights)

    @property
    def held_out(self) -> np.ndarray:
        """Log density of each pose under all others, float64 in shape [N]."""
        return self.density.held_out

    @property
    def score(self):
        """:meth:`PoseDensity.score`."""
        return self.density.score

    def by_id(self) -> dict[int, float]:
        """The weight of each annotation by its id."""
        return dict(zip(self.ids.tolist(), self.weights.tolist(),
                        strict=True))

    def heaviest_share(self, share: float = 0.01) -> float:
        """Share of all weight that a share of the poses, the heaviest, has."""
        count = max(1, round(share * len(self.weights)))
        ordered = np.sort(self.weights)
        return float(ordered[-count:].sum() / ordered.sum())

    def is_carried_by_few(self) -> bool:
        """Whether a handful of poses would carry the training."""
        return self.effective_sample_size < 0.05

    def doubt(self) -> str | None:
        """Why training with these weights would be no use, if it would."""
        size = self.effective_sample_size
        if size > 0.99:
            return (f'the effective sample size is {size:.4f}: all poses weigh '
                    'almost the same, and training with these weights is '
                    'training without them')
        if not self.is_carried_by_few():
            return None
        return (f'the effective sample size is {size:.4f}, and the heaviest '
                f'1 % of the poses have {self.heaviest_share():.0%} of the '
                'weight: a handful would carry the training. Temper the '
                'weights (a lower alpha, a higher min_ess, a clip), or choose '
                'a larger bandwidth')

    def check_joints(self, joint_names: Sequence[str], where: str) -> None:
        """Raise a UserError unless a data set, ``where``, has its joints."""
        if tuple(joint_names) != tuple(self.joint_names):
            raise UserError(
                f'{self} is of {self.dataset_name} with the joints '
                f'{", ".join(self.joint_names)}, but {where} has '
                f'{", ".join(joint_names)}. Fit a density to these data: {FIT}')

    def check_annotations(self, files: Sequence[str]) -> None:
        """Raise a UserError unless it comes from these annotation files."""
        digest = digest_of_files(files)
        if digest != self.annotation_digest:
            raise UserError(
                f'{self} was computed from {", ".join(self.annotation_files)} '
                f'(SHA-256 {self.annotation_digest[:12]}…), but these are '
                f'{", ".join(map(str, files))} ({digest[:12]}…). Fit a density '
                f'to these annotations: {FIT}')

    def save(self, path: str) -> None:
        """Write an ``.npz``; a failed write leaves an old one whole."""
        density, pca = self.density, self.density.pca
        flip = density.flip_indices
        meta = dict(
            kind=KIND, format=FORMAT, made_by=f'mmpose_wloss {__version__}',
            noise=float(pca.noise_variance_),
            flip_indices=None if flip is None else [int(each) for each in flip],
            **{name: getattr(density, name) for name in VALUES},
            **{name: getattr(self, name) for name in ORIGIN})
        arrays = {name: getattr(density, name, None) for name in ARRAYS}
        arrays.update({name: getattr(pca, key) for name, key in AXES.items()},
                      meta=np.array(json.dumps(meta)), ids=self.ids,
                      weights=self.weights, log_density=self.log_density,
                      references=density.references.astype(np.float32))
        with replaced_whole(path) as partial, open(partial, 'wb') as stream:
            np.savez_compressed(stream, **{
                name: each for name, each in arrays.items()
                if each is not None})

    @classmethod
    def load(cls, path: str) -> 'PoseDensityArtifact':
        """Read a file.

        Raises:
            MissingFile: If there is none.
            UserError: If it is another, is truncated, or has a newer format.
        """
        if not Path(path).is_file():
            raise MissingFile(f'There is no pose density {path}. Compute it '
                              f'with: {FIT}')
        try:
            with np.load(path, allow_pickle=False) as stream:
                arrays = {name: stream[name] for name in stream.files}
            meta = json.loads(str(arrays.pop('meta')))
            if meta['kind'] != KIND:
                raise KeyError(f'its kind is {meta["kind"]!r}')
            newer = meta['format'] > FORMAT
            loaded = None if newer else cls._of(meta, arrays, str(path))
        except (AttributeError, EOFError, KeyError, TypeError, ValueError,
                zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f'{path} is no pose density, or it is truncated ({error}). '
                f'Compute it again: {FIT}') from error
        if newer:
            raise UserError(
                f'{path} has the format {meta["format"]} '
                f'({meta["made_by"]}), but this mmpose_wloss {__version__} '
                f'reads {FORMAT}: install a newer one, or compute the density '
                'again')
        return loaded

    @classmethod
    def _of(cls, meta: dict, arrays: dict, path: str) -> 'PoseDensityArtifact':
        from sklearn.decomposition import PCA

        density, pca = PoseDensity(), PCA(len(arrays['components']))
        for name in (*VALUES, 'flip_indices'):
            setattr(density, name, meta[name])
        density.options.setdefault('weighting', 'inverse')  # once the only one
        for name in ARRAYS:
            setattr(density, name, arrays.get(name))
        for name, key in AXES.items():
            setattr(pca, key, arrays[name])
        pca.noise_variance_ = meta['noise']
        density.pca = pca
        density.references = arrays['references'].astype(np.float64)
        density.log_density = arrays['log_density']
        density.weights = arrays['weights']
        return cls(
            arrays['ids'], density.weights, density.log_density, density,
            tuple(meta['joint_names']), meta['dataset_name'],
            tuple(meta['annotation_files']), meta['annotation_digest'], path)
