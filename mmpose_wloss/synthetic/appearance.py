"""What a person looks like: skin, hair and clothes, one colour per face."""

import colorsys
from dataclasses import dataclass

import numpy as np

from .body import PARTS, BodyModel

# Skin tones in sRGB, from light to dark.
_SKIN = np.array([(244, 208, 177), (231, 180, 143), (210, 158, 124),
                  (186, 120, 81), (165, 94, 60), (120, 70, 48), (82, 50, 38)])
_HAIR = np.array([(30, 24, 22), (55, 38, 28), (90, 60, 35), (150, 110, 60),
                  (205, 170, 110), (150, 70, 35), (150, 150, 150),
                  (215, 212, 208)])


@dataclass(frozen=True)
class Appearance:
    """A person's outside.

    Attributes:
        face_color (np.ndarray): RGB of each triangle, 0 to 1 [F, 3].
        thickness (np.ndarray): How far hair and clothes stand off the skin,
            metres [V].
    """
    face_color: np.ndarray
    thickness: np.ndarray


class Wardrobe:
    """Cuts hair, clothes and a face out of the body's surface.

    Args:
        model (BodyModel): Whose surface.
    """

    def __init__(self, model: BodyModel) -> None:
        self._faces = model.faces
        self._arm = model.arm_position
        self._leg = model.leg_position
        self._vertices = model.rest_vertices
        self._part = model.vertex_part
        self._face_arm = self._arm[model.faces].mean(axis=1)
        self._face_leg = self._leg[model.faces].mean(axis=1)
        self._face_part = model.face_part
        self._centers = model.rest_centers
        self._is_eye = model.face_is_eye
        self._eye = model.rest_bones['eye.L']
        self._neck = model.rest_bones['neck01'][2]
        self._hip = model.rest_bones['upperleg01.L'][2]
        self._top = model.rest_vertices[:, 2].max()

    def dress(self, rng: np.random.Generator) -> Appearance:
        """Draw a person's outside.

        Args:
            rng (np.random.Generator): Source of randomness.

        Returns:
            Appearance: Colours and thickness.
        """
        skin = _between(rng, _SKIN)
        hair = _HAIR[rng.integers(len(_HAIR))] / 255 * rng.uniform(0.8, 1.2)
        shirt, trousers, shoes = (_cloth(rng) for _ in range(3))
        if rng.random() < 0.08:
            trousers = shirt
        sleeve = rng.choice([0.02, 0.3, 0.96], p=[0.15, 0.4, 0.45])
        hem = rng.choice([0.22, 0.47, 0.96], p=[0.2, 0.2, 0.6])
        hair_length = rng.choice([0., 0.5, 1.], p=[0.08, 0.52, 0.4])
        barefoot = rng.random() < 0.12

        color = np.tile(skin, (len(self._faces), 1))
        torso = self._face_part == PARTS.index('torso')
        waist = self._hip + 0.09
        above = self._centers[:, 2] > waist
        collar = self._neck - rng.uniform(-0.01, 0.05)
        top = torso & above & (self._centers[:, 2] < collar)
        top |= (self._face_arm >= 0) & (self._face_arm < sleeve)
        bottom = torso & ~above
        bottom |= (self._face_leg >= 0) & (self._face_leg < hem)
        color[top], color[bottom] = shirt, trousers
        if rng.random() < 0.3:
            stripe = rng.uniform(0.03, 0.08)
            rows = (self._centers[:, 2] / stripe) % 1 < 0.5
            color[top & rows & torso] = _cloth(rng)
        if not barefoot:
            color[np.isin(self._face_part, _indices('foot'))] = shoes
        self._paint_face(color, skin)
        scalp = self._scalp(self._centers, hair_length)
        scalp &= self._face_part == PARTS.index('head')
        scalp &= ~self._is_eye
        color[scalp] = hair
        return Appearance(
            np.clip(color, 0, 1).astype(np.float32),
            self._thickness(rng, sleeve, hem, hair_length, barefoot))

    def _scalp(self, points, length):
        """Above the brow in front, down to the neck behind."""
        if not length:
            return np.zeros(len(points), bool)
        behind = (points[:, 1] - self._eye[1]) / 0.16
        line = self._eye[2] + 0.055 - np.clip(behind - 0.25, 0, 1) * (
            0.09 + 0.08 * length)
        return points[:, 2] > line

    def _paint_face(self, color, skin):
        head = self._face_part == PARTS.index('head')
        x, y, z = (self._centers - self._eye).T
        aside = np.abs(np.abs(self._centers[:, 0]) - self._eye[0])
        front = head & (y < 0.02)
        brow = front & (aside < 0.02) & (np.abs(z - 0.021) < 0.006)
        lips = front & (np.abs(self._centers[:, 0]) < 0.026) & (
            np.abs(z + 0.072) < 0.008)
        color[brow] = skin * 0.35
        color[lips] = skin * (0.85, 0.5, 0.5)
        color[self._is_eye] = (0.92, 0.92, 0.92)
        color[self._is_eye & (aside < 0.0075)] = (0.12, 0.09, 0.07)

    def _thickness(self, rng, sleeve, hem, hair_length, barefoot):
        thickness = np.zeros(len(self._vertices), np.float32)
        loose = rng.uniform(0.004, 0.014, 2)
        torso = self._part == PARTS.index('torso')
        below = self._vertices[:, 2] < self._hip + 0.09
        thickness[torso] = np.where(below, loose[1], loose[0])[torso]
        thickness[(self._arm >= 0) & (self._arm < sleeve)] = loose[0]
        thickness[(self._leg >= 0) & (self._leg < hem)] = loose[1]
        if not barefoot:
            thickness[np.isin(self._part, _indices('foot'))] = 0.008
        scalp = (self._part == PARTS.index('head')) & self._scalp(
            self._vertices, hair_length)
        thickness[scalp] = 0.012 + 0.012 * hair_length
        # Ears stay in front of the hair, or no ear would ever be seen.
        ears = scalp & (np.abs(self._vertices[:, 0]) > 0.068) & (
            self._vertices[:, 2] < self._eye[2] + 0.03)
        thickness[ears] = 0.0
        return thickness


def _indices(kind):
    return [i for i, part in enumerate(PARTS) if part.endswith(kind)]


def _between(rng, palette):
    position = rng.uniform(0, len(palette) - 1)
    low = int(position)
    share = position - low
    high = min(low + 1, len(palette) - 1)
    return ((1 - share) * palette[low] + share * palette[high]) / 255


def _cloth(rng):
    if rng.random() < 0.3:
        return np.full(3, rng.choice([0.08, 0.2, 0.45, 0.9]))
    return np.array(colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.3, 0.95)))
