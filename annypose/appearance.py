"""What a person looks like: skin, hair, face and clothes."""

import colorsys
from dataclasses import dataclass

import numpy as np

from .body import PARTS, BodyModel

# skin tones and hair in sRGB; skin from light to dark
_SKIN = np.array([(244, 208, 177), (231, 180, 143), (210, 158, 124),
                  (186, 120, 81), (165, 94, 60), (120, 70, 48), (82, 50, 38)])
_HAIR = np.array([(30, 24, 22), (55, 38, 28), (90, 60, 35), (150, 110, 60),
                  (205, 170, 110), (150, 70, 35), (150, 150, 150),
                  (215, 212, 208)])

# Where sleeves end, from shoulder (0) to wrist (1), and their shares.
_SLEEVES = ((0.1, 0.3, 0.96), (0.15, 0.4, 0.45))
# Where trousers end, from hip (0) to ankle (1), and their shares.
_HEMS = ((0.25, 0.47, 0.96), (0.2, 0.2, 0.6))
# How far hair falls behind (0 shaved, 1 to the neck), and the shares.
_HAIR_LENGTHS = ((0., 0.5, 1.), (0.08, 0.52, 0.4))


@dataclass(frozen=True)
class Appearance:
    """A person's outside. Colors are RGB, 0 to 1, in shape [3].

    Attributes:
        skin, hair, shirt, trousers (np.ndarray): Colors.
        stripes (np.ndarray): Color of every other row of the shirt.
        shoes (np.ndarray): Color; the skin's for bare feet.
        stripe (float): Height of a row of the shirt, meters.
        collar (float): Height where the shirt ends, meters below the neck.
        sleeve (float): Where sleeves end, 0 shoulder to 1 wrist.
        hem (float): Where trousers end, 0 hip to 1 ankle.
        hair_length (float): 0 shaved, 1 down to the neck.
        thickness (np.ndarray): How far hair and clothes stand off the skin at
            each vertex, meters [V].
    """
    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    stripes: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    stripe: float
    collar: float
    sleeve: float
    hem: float
    hair_length: float
    thickness: np.ndarray


class Wardrobe:
    """Cuts hair, clothes and a face out of the body's surface.

    Every point of the surface knows where it lies on the average body at
    rest. Clothes are cut there, pixel by pixel, so that hems and sleeves stay
    sharp on a coarse mesh and follow every pose.

    Args:
        model (BodyModel): Whose surface.
    """

    def __init__(self, model: BodyModel) -> None:
        self._faces = model.faces
        self._face_part = model.face_part
        self._face_is_eye = model.face_is_eye
        self._vertex_part = model.vertex_part
        self._surface = np.column_stack(
            [model.rest_vertices, model.arm_position, model.leg_position])
        self._eye = model.rest_bones['eye.L']
        self._neck = model.rest_bones['neck01'][2]
        self._waist = model.rest_bones['upperleg01.L'][2] + 0.09
        self._head = PARTS.index('head')
        self._torso = PARTS.index('torso')
        self._arms = _indices('arm', 'hand')
        self._legs = _indices('leg', 'foot')
        self._feet = _indices('foot')

    def dress(self, rng: np.random.Generator) -> Appearance:
        """Draw a person's outside."""
        skin = _between(rng, _SKIN)
        hair = _HAIR[rng.integers(len(_HAIR))] / 255 * rng.uniform(0.8, 1.2)
        shirt, stripes, trousers, shoes = (_cloth(rng, skin) for _ in range(4))
        if rng.random() > 0.3:
            stripes = shirt
        if rng.random() < 0.08:
            trousers = shirt
        if rng.random() < 0.12:
            shoes = skin
        sleeve = rng.choice(_SLEEVES[0], p=_SLEEVES[1])
        hem = rng.choice(_HEMS[0], p=_HEMS[1])
        hair_length = rng.choice(_HAIR_LENGTHS[0], p=_HAIR_LENGTHS[1])
        return Appearance(
            skin=skin, hair=hair, shirt=shirt, stripes=stripes,
            trousers=trousers, shoes=shoes, stripe=rng.uniform(0.03, 0.08),
            collar=rng.uniform(-0.01, 0.05), sleeve=sleeve, hem=hem,
            hair_length=hair_length,
            thickness=self._thickness(
                rng.uniform(0.004, 0.014), rng.uniform(0.004, 0.014), sleeve,
                hem, hair_length, shoes is not skin))

    def color(self, appearance: Appearance, face: np.ndarray,
              weights: np.ndarray) -> np.ndarray:
        """The color of points on the surface.

        Args:
            appearance (Appearance): Whose.
            face (np.ndarray): The triangle each point lies in [N].
            weights (np.ndarray): Its barycentric coordinates there [N, 3].

        Returns:
            np.ndarray: RGB, 0 to 1 [N, 3].
        """
        part = self._face_part[face]
        surface = np.einsum('nk,nkd->nd', weights, self._surface[self._faces[face]])
        height = surface[:, 2]
        color = np.tile(appearance.skin, (len(face), 1))

        torso = part == self._torso
        top = torso & (height > self._waist) & (height < self._neck - appearance.collar)
        rows = (height / appearance.stripe) % 1 < 0.5
        color[top] = appearance.shirt
        color[top & rows] = appearance.stripes
        arms = np.isin(part, self._arms)
        color[arms & (surface[:, 3] < appearance.sleeve)] = appearance.shirt
        legs = np.isin(part, self._legs) & (surface[:, 4] < appearance.hem)
        color[legs | (torso & (height <= self._waist))] = appearance.trousers
        color[np.isin(part, self._feet)] = appearance.shoes

        head = np.flatnonzero(part == self._head)
        color[head] = self._head_color(
            appearance, surface[head], self._face_is_eye[face[head]])
        return color

    def _head_color(self, appearance, points, is_eye):
        color = np.tile(appearance.skin, (len(points), 1))
        x, y, z = (points[:, :3] - self._eye).T
        aside = np.abs(np.abs(points[:, 0]) - self._eye[0])
        front = y < 0.02
        brows = front & (aside < 0.02) & (np.abs(z - 0.021) < 0.005)
        lips = front & (np.abs(points[:, 0]) < 0.024) & (np.abs(z + 0.072) < 0.007)
        color[brows] = appearance.skin * 0.35
        color[lips] = appearance.skin * (0.85, 0.5, 0.5)
        color[is_eye] = (0.92, 0.92, 0.92)
        color[is_eye & (aside < 0.0075)] = (0.12, 0.09, 0.07)
        scalp = self._scalp(points, appearance.hair_length) & ~is_eye
        color[scalp] = appearance.hair
        return color

    def _scalp(self, points, length):
        """Above the brow in front, down to the neck behind."""
        if not length:
            return np.zeros(len(points), bool)
        behind = (points[:, 1] - self._eye[1]) / 0.16
        line = self._eye[2] + 0.055 - np.clip(behind - 0.25, 0, 1) * (
            0.09 + 0.08 * length)
        return points[:, 2] > line

    def _thickness(self, shirt, trousers, sleeve, hem, hair_length, shoes):
        x, _, z, arm, leg = self._surface.T
        part = self._vertex_part
        thickness = np.zeros(len(part), np.float32)
        torso = part == self._torso
        thickness[torso] = np.where(z > self._waist, shirt, trousers)[torso]
        thickness[np.isin(part, self._arms) & (arm < sleeve)] = shirt
        thickness[np.isin(part, self._legs) & (leg < hem)] = trousers
        if shoes:
            thickness[np.isin(part, self._feet)] = 0.008
        scalp = (part == self._head) & self._scalp(self._surface, hair_length)
        # ears stay in front of the hair, or no ear would ever be seen
        ears = (np.abs(x) > 0.068) & (z < self._eye[2] + 0.03)
        thickness[scalp & ~ears] = 0.012 + 0.012 * hair_length
        return thickness


def _indices(*kinds):
    return [i for i, part in enumerate(PARTS) if part.endswith(kinds)]


def _between(rng, palette):
    position = rng.uniform(0, len(palette) - 1)
    low = int(position)
    share = position - low
    high = min(low + 1, len(palette) - 1)
    return ((1 - share) * palette[low] + share * palette[high]) / 255


def _cloth(rng, skin):
    """A color that nobody takes for the skin's."""
    while True:
        if rng.random() < 0.3:
            color = np.full(3, rng.choice([0.08, 0.2, 0.45, 0.9]))
        else:
            # skin, light or dark, is orange in hue; clothes never are
            hue = rng.random()
            color = np.array(colorsys.hsv_to_rgb(
                hue + 0.5 if 0.02 < hue < 0.13 else hue,
                rng.uniform(0.35, 0.95), rng.uniform(0.3, 0.95)))
        if np.abs(color - skin).max() > 0.25:
            return color
