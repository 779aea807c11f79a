"""A z-buffer in NumPy: which triangle is in front at each pixel."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Fragments:
    """The front-most surface at each pixel; the nearer of several bodies.

    Attributes:
        depth (np.ndarray): Distance along the optical axis, ``inf`` where
            there is nothing [H, W].
        owner (np.ndarray): Number of the body, -1 where there is none [H, W].
        face (np.ndarray): Triangle within that body, -1 where there is none [H, W].
        weights (np.ndarray): Barycentric coordinates of the pixel in its
            triangle [H, W, 3].
    """
    depth: np.ndarray
    owner: np.ndarray
    face: np.ndarray
    weights: np.ndarray

    @classmethod
    def empty(cls, height: int, width: int) -> 'Fragments':
        """Nothing in front of the background, in pixels."""
        return cls(
            np.full((height, width), np.inf, np.float32),
            np.full((height, width), -1, np.int32),
            np.full((height, width), -1, np.int32),
            np.zeros((height, width, 3), np.float32))

    def draw(self, points: np.ndarray, depth: np.ndarray, faces: np.ndarray,
             owner: int) -> np.ndarray:
        """Draw one body into the buffer.

        Args:
            points (np.ndarray): Vertices in pixels; a pixel's center has
                integer coordinates [V, 2].
            depth (np.ndarray): Their distance along the optical axis [V].
            faces (np.ndarray): Triangles whose outside is seen
                counter-clockwise [F, 3].
            owner (int): The number to write.

        Returns:
            np.ndarray: The body's own silhouette, as if it were alone, bool
            [H, W].
        """
        height, width = self.depth.shape
        pixel, face, weights = _cover(points.astype(np.float32), faces, height, width)
        inverse = (weights / depth[faces[face]]).sum(axis=1)
        # far to near: of several values for a pixel NumPy keeps the last
        order = np.argsort(inverse, kind='stable')
        winner = np.full(height * width, -1, np.int64)
        winner[pixel[order]] = order
        silhouette = winner >= 0

        seen = np.flatnonzero(silhouette)
        chosen = winner[seen]
        near = 1 / inverse[chosen] < self.depth.ravel()[seen]
        seen, chosen = seen[near], chosen[near]
        self.depth.ravel()[seen] = 1 / inverse[chosen]
        self.owner.ravel()[seen] = owner
        self.face.ravel()[seen] = face[chosen]
        self.weights.reshape(-1, 3)[seen] = weights[chosen]
        return silhouette.reshape(height, width)


def _cover(points, faces, height, width):
    """List every (pixel, triangle) pair where the center is covered."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    area = ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) -
            (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))
    low = np.ceil(np.minimum(np.minimum(a, b), c)).astype(np.int32)
    high = np.floor(np.maximum(np.maximum(a, b), c)).astype(np.int32)
    low = np.maximum(low, 0)
    high = np.minimum(high, (width - 1, height - 1))
    # image y points down, so outsides turn up with negative area
    kept = np.flatnonzero((area < -1e-9) & (low <= high).all(axis=1))
    a, b, c, area = a[kept], b[kept], c[kept], area[kept]
    low, high = low[kept], high[kept]

    columns = high[:, 0] - low[:, 0] + 1
    counts = columns * (high[:, 1] - low[:, 1] + 1)
    entry = np.repeat(np.arange(len(kept)), counts)
    offset = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(offset, columns[entry])
    x = low[entry, 0] + column
    y = low[entry, 1] + row

    # barycentric coordinates are affine in x and y: one plane per edge
    def weight(p, q):
        slope_x = (p[:, 1] - q[:, 1]) / area
        slope_y = (q[:, 0] - p[:, 0]) / area
        constant = -(slope_x * p[:, 0] + slope_y * p[:, 1])
        return slope_x[entry] * x + slope_y[entry] * y + constant[entry]

    u, v = weight(b, c), weight(c, a)
    w = 1 - u - v
    # rounding must not open a gap between neighbors
    inside = np.minimum(np.minimum(u, v), w) >= -1e-4
    weights = np.stack([u[inside], v[inside], w[inside]], axis=1)
    pixel = y[inside].astype(np.int64) * width + x[inside]
    return pixel, kept[entry[inside]], weights.astype(np.float32)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Outward unit vectors [V, 3]: the mean of the faces' normals, by area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    corners = faces.ravel()
    normals = np.stack([
        np.bincount(corners, np.repeat(across[:, i], 3), len(vertices))
        for i in range(3)
    ], axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.maximum(length, 1e-12)).astype(np.float32)
