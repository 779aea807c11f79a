"""The file of a pose density: ``.npz`` without pickle."""

import dataclasses
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from ..version import __version__
from .pose_density import PoseDensity
from .weights import effective_sample_size

FORMAT = 1
KIND = 'pose density'
# weights above it do nothing, and below it a handful carries the training
NOTHING = 0.99
HANDFUL = 0.05


def annotation_digest(files: Sequence[str]) -> str:
    """SHA-256 of annotation files, of several that of their digests.

    Args:
        files (Sequence[str]): Paths, in an order that counts.

    Returns:
        str: In hexadecimal digits.
    """
    digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest()
               for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256('\n'.join(digests).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class PoseDensityArtefact:
    """Weights by annotation, and the density that they come from.

    Attributes:
        ids (np.ndarray): Ids of the annotations, int64 in shape [N].
        weights (np.ndarray): Weight of each, float64 in shape [N].
        log_density (np.ndarray): Log density of each, float64 in shape [N];
            NaN where there is none.
        density (PoseDensity): The density of the poses.
        joint_names (tuple[str]): Names of the K joints.
        dataset_name (str): Name of the data set, as in its meta information.
        annotation_files (tuple[str]): Names of the annotation files.
        annotation_digest (str): :func:`annotation_digest` of these.
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
            raise ValueError(f'annotation id {ids[counts.argmax()]} occurs '
                             f'{counts.max()} times; ids must be unique')
        for name in ('weights', 'log_density'):
            if getattr(self, name).shape != self.ids.shape:
                raise ValueError(
                    f'{len(self.ids)} ids need as many {name}, but these have '
                    f'the shape {list(getattr(self, name).shape)}')
        if not (np.isfinite(self.weights) & (self.weights > 0)).all():
            raise ValueError('weights must be finite and above 0')

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
    def without_density(self) -> int:
        """How many poses have too few joints for a density."""
        return int(np.isnan(self.log_density).sum())

    def by_id(self) -> dict[int, float]:
        """The weight of each annotation by its id."""
        return dict(zip(self.ids.tolist(), self.weights.tolist(),
                        strict=True))

    def score(self, poses: np.ndarray, visible: np.ndarray,
              boxes: np.ndarray | None = None,
              image_sizes: np.ndarray | None = None) -> np.ndarray:
        """:meth:`PoseDensity.score`."""
        return self.density.score(poses, visible, boxes=boxes,
                                  image_sizes=image_sizes)

    def heaviest_share(self, share: float = 0.01) -> float:
        """Share of all weight that the heaviest poses have.

        Args:
            share (float): Share of the poses, at least one. Defaults to 0.01.

        Returns:
            float: Between 0 and 1.
        """
        count = max(1, round(share * len(self.weights)))
        ordered = np.sort(self.weights)
        return float(ordered[-count:].sum() / ordered.sum())

    def does_nothing(self) -> bool:
        """Whether all weights are so alike that they change nothing."""
        return self.effective_sample_size > NOTHING

    def is_carried_by_few(self) -> bool:
        """Whether a handful of poses would carry the training."""
        return self.effective_sample_size < HANDFUL

    def check_joints(self, joint_names: Sequence[str], where: str) -> None:
        """Check that the joints are those of a data set.

        Args:
            joint_names (Sequence[str]): Names of the data set's joints.
            where (str): What these are, for the error.

        Raises:
            ValueError: If they differ; both are named.
        """
        if tuple(joint_names) != tuple(self.joint_names):
            raise ValueError(
                f'{self} is of {self.dataset_name} with the joints '
                f'{", ".join(self.joint_names)}, but {where} has '
                f'{", ".join(joint_names)}. Fit a density to these data: '
                'tools/pose_density.py fit')

    def check_annotations(self, files: Sequence[str]) -> None:
        """Check that the annotations are those that it was computed from.

        Args:
            files (Sequence[str]): Paths of annotation files.

        Raises:
            ValueError: If they differ; both are named.
        """
        digest = annotation_digest(files)
        if digest != self.annotation_digest:
            raise ValueError(
                f'{self} was computed from {", ".join(self.annotation_files)} '
                f'(SHA-256 {self.annotation_digest[:12]}…), but the training '
                f'reads {", ".join(map(str, files))} ({digest[:12]}…). Fit a '
                'density to these annotations: tools/pose_density.py fit')

    def save(self, path: str) -> None:
        """Write the file; a failed write leaves an old one whole.

        Args:
            path (str): Ends in ``.npz``.
        """
        density, pca = self.density, self.density.pca
        meta = dict(
            kind=KIND, format=FORMAT, made_by=f'mmpose_wloss {__version__}',
            options=density.options, bandwidth=density.bandwidth,
            alpha=density.alpha, copies=density.copies, torso=density.torso,
            with_boxes=density.with_boxes,
            noise=float(pca.noise_variance_),
            flip_indices=(None if density.flip_indices is None else
                          [int(index) for index in density.flip_indices]),
            joint_names=list(self.joint_names),
            dataset_name=self.dataset_name,
            annotation_files=list(self.annotation_files),
            annotation_digest=self.annotation_digest)
        arrays = dict(
            meta=np.array(json.dumps(meta)), ids=self.ids,
            weights=self.weights, log_density=self.log_density,
            held_out=density.held_out, references=density.references.astype(np.float32),
            mean=pca.mean_, components=pca.components_,
            variances=pca.explained_variance_,
            variance_shares=pca.explained_variance_ratio_)
        for name in ('fill', 'density_error'):
            if getattr(density, name, None) is not None:
                arrays[name] = getattr(density, name)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f'{target.name}.partial')
        try:
            with open(partial, 'wb') as stream:
                np.savez_compressed(stream, **arrays)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str) -> 'PoseDensityArtefact':
        """Read the file.

        Args:
            path (str): The file.

        Returns:
            PoseDensityArtefact: What it holds.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is no such file, is truncated, or has a newer
                format.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'There is no pose density {path}. Compute it with: python '
                'tools/pose_density.py fit CONFIG')
        try:
            with np.load(path, allow_pickle=False) as stream:
                arrays = {name: stream[name] for name in stream.files}
            meta = json.loads(str(arrays.pop('meta')))
            if meta['kind'] != KIND:
                raise KeyError(f'its kind is {meta["kind"]!r}')
            newer = int(meta['format']) > FORMAT
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError,
                AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} is no pose density, or it is truncated ({error}). '
                'Compute it again: python tools/pose_density.py fit CONFIG'
            ) from error
        if newer:
            raise ValueError(
                f'{path} has the format {meta["format"]} '
                f'({meta["made_by"]}), but this mmpose_wloss {__version__} '
                f'reads {FORMAT}: install a newer one, or compute the density '
                'again')
        try:
            return cls._from(meta, arrays, str(path))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path} is no whole pose density ({error}). Compute it again: '
                'python tools/pose_density.py fit CONFIG') from error

    @classmethod
    def _from(cls, meta: dict, arrays: dict, path: str
              ) -> 'PoseDensityArtefact':
        density = PoseDensity(**meta['options'])
        density.bandwidth, density.alpha = meta['bandwidth'], meta['alpha']
        density.copies = meta['copies']
        density.flip_indices = meta['flip_indices']
        density.torso = meta['torso']
        density.with_boxes = meta['with_boxes']
        density.references = arrays['references'].astype(np.float64)
        density.fill = arrays.get('fill')
        density.density_error = arrays.get('density_error')
        density.log_density = arrays['log_density']
        density.held_out = arrays['held_out']
        density.weights = arrays['weights']
        density.pca = pca = PCA(len(arrays['components']))
        pca.mean_, pca.components_ = arrays['mean'], arrays['components']
        pca.explained_variance_ = arrays['variances']
        pca.explained_variance_ratio_ = arrays['variance_shares']
        pca.noise_variance_ = meta['noise']
        return cls(
            ids=arrays['ids'], weights=arrays['weights'],
            log_density=arrays['log_density'], density=density,
            joint_names=tuple(meta['joint_names']),
            dataset_name=meta['dataset_name'],
            annotation_files=tuple(meta['annotation_files']),
            annotation_digest=meta['annotation_digest'], path=path)
