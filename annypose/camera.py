"""The camera: where a body stands in front of it, and how it projects."""

from dataclasses import dataclass

import numpy as np

# World: x to the body's left, y backwards, z up. Camera: x right, y down, z
# away. A camera in front of the body therefore sees its left at the right.
_WORLD_TO_CAMERA = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        size (int): Width and height of the image, pixels.
        focal (float): Focal length, pixels, for x and y.
        center (tuple[float, float]): Principal point, pixels; the center of
            the upper left pixel is (0, 0).
        pitch (float): Looking down, degrees.
        roll (float): About the optical axis, degrees.
    """
    size: int
    focal: float
    center: tuple[float, float]
    pitch: float
    roll: float

    @classmethod
    def sample(cls, rng: np.random.Generator, size: int) -> 'Camera':
        """Draw a camera for images of this width and height in pixels.

        Its focal length is 1.2 to 2.5 image widths, its pitch -5 to 20
        degrees, its roll up to 5 degrees.
        """
        return cls(
            size=size,
            focal=round(size * rng.uniform(1.2, 2.5), 3),
            center=((size - 1) / 2, (size - 1) / 2),
            pitch=rng.uniform(-5, 20),
            roll=float(np.clip(rng.normal(0, 2), -5, 5)))

    def orientation(self, yaw: float) -> np.ndarray:
        """The rotation [3, 3] from a body's axes to the camera's.

        Args:
            yaw (float): Turn of the body about the vertical, degrees; 0 faces
                the camera, positive turns towards its own left.
        """
        return (
            _rotation(2, self.roll) @ _rotation(0, self.pitch)
            @ _WORLD_TO_CAMERA @ _rotation(2, yaw))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] of points in camera coordinates [..., 3]."""
        return self.focal * points[..., :2] / points[..., 2:] + np.array(self.center)

    def place(self, points: np.ndarray, target: tuple[float, float],
              extent: float) -> np.ndarray:
        """Find where a body must stand to fill a given part of the image.

        Args:
            points (np.ndarray): The body's surface, turned to the camera's
                axes, in meters [V, 3].
            target (tuple[float, float]): Center of its bounding box, pixels.
            extent (float): Length of the box's longer side, pixels.

        Returns:
            np.ndarray: Translation, meters [3].
        """
        # an eighth of the surface is enough for a box to half a percent
        points = points[::8]
        low, high = points.min(axis=0), points.max(axis=0)
        shift = -(low + high) / 2
        shift[2] += self.focal * (high - low)[:2].max() / extent
        for _ in range(4):
            pixels = self.project(points + shift)
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            shift[2] *= (high - low).max() / extent
            # never so close that the nearest point comes near the lens
            shift[2] = max(shift[2], 0.3 - points[:, 2].min())
            middle = np.array(target) - (low + high) / 2
            shift[:2] += middle * shift[2] / self.focal
        return shift


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """Rotate about a coordinate axis, counter-clockwise."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[i, i] = rotation[j, j] = cosine
    rotation[i, j], rotation[j, i] = -sine, sine
    return rotation
