"""What surrounds a person: background, things in front, light, sensor."""

import colorsys

import cv2
import numpy as np


def background(rng: np.random.Generator, size: int, clothes: np.ndarray) -> np.ndarray:
    """Draw a background: muted, soft, never sharp like a person.

    It is RGB, 0 to 1 [size, size, 3], and stands out from the clothes' colors [N, 3].
    """
    base = _contrasting(rng, clothes)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    ramp = (x * np.cos(angle) + y * np.sin(angle))[..., None]
    image = base + ramp * (rng.normal(0, 0.2) + rng.normal(0, 0.06, 3))
    for cells, strength in ((3, 0.1), (8, 0.06), (24, 0.04)):
        strength = rng.uniform(0, strength)
        gray = rng.normal(0, strength, (cells, cells, 1))
        tint = rng.normal(0, 0.4 * strength, (cells, cells, 3))
        image += cv2.resize(gray + tint, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        _draw_floor(rng, image, _contrasting(rng, clothes))
    for _ in range(rng.integers(0, 6)):
        _draw_shape(rng, image)
    blur = rng.uniform(0.5, 2.5) * size / 128
    return np.clip(cv2.GaussianBlur(image, (0, 0), blur), 0, 1)


def _draw_floor(rng, image, color):
    size = len(image)
    horizon = int(rng.uniform(0.45, 0.85) * size)
    depth = np.linspace(1, 0.8, size - horizon)[:, None, None]
    image[horizon:] = image[horizon:] * 0.3 + 0.7 * color * depth


def _draw_shape(rng, image):
    size = len(image)
    color = _muted(rng)
    center = rng.uniform(0, size, 2)
    axes = rng.uniform(0.04, 0.25, 2) * size
    angle = rng.uniform(0, 180) if rng.random() < 0.3 else 0.
    box = (center.tolist(), (2 * axes).tolist(), float(angle))
    mask = np.zeros((size, size), np.uint8)
    _fill(rng, mask, box)
    share = rng.uniform(0.4, 0.9)
    image[mask > 0] = (1 - share) * image[mask > 0] + share * color


def _fill(rng, mask, box):
    if rng.random() < 0.5:
        cv2.fillPoly(mask, [cv2.boxPoints(box).astype(np.int32)], 1)
    else:
        cv2.ellipse(mask, box, 1, -1)


def draw_seat(rng: np.random.Generator, image: np.ndarray, hips: np.ndarray,
              feet: np.ndarray) -> None:
    """Draw something to sit on, a box with a lit top, into an image [H, W, 3].

    Hips and feet are in pixels [2, 2].
    """
    x, y = hips.mean(axis=0)
    floor = feet[:, 1].max()
    drop = floor - y
    if drop < 0.05 * len(image):
        return
    half = drop * rng.uniform(0.35, 0.7)
    top, front = y + drop * rng.uniform(0.05, 0.15), y + 0.3 * drop
    color = _muted(rng) * rng.uniform(0.5, 1.)
    for upper, lower, light in ((top, front, 1.15), (front, floor, 0.85)):
        corners = np.array([(x - half, upper), (x + half, upper),
                            (x + half, lower), (x - half, lower)])
        cv2.fillPoly(image, [np.round(corners).astype(np.int32)],
                     np.clip(color * light, 0, 1).tolist())


def cast_shadow(image: np.ndarray, silhouette: np.ndarray) -> None:
    """Darken an image [H, W, 3] where a silhouette [H, W] touches the floor."""
    rows, columns = np.nonzero(silhouette)
    if not len(rows):
        return
    height = max(np.ptp(rows), np.ptp(columns)) + 1
    touching = columns[rows > rows.max() - 0.06 * height]
    low, high = touching.min(), touching.max()
    shadow = np.zeros(silhouette.shape, np.float32)
    cv2.ellipse(shadow, (((low + high) / 2, float(rows.max() - 0.01 * height)),
                         (high - low + 0.14 * height, 0.08 * height), 0.),
                0.55, -1)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.02 * height + 0.5)
    image *= 1 - shadow[..., None]


def occluder(rng: np.random.Generator, silhouette: np.ndarray
             ) -> tuple[np.ndarray, np.ndarray]:
    """Draw something in front of a silhouette [H, W]: box, ellipse or bar.

    Returns:
        tuple[np.ndarray, np.ndarray]: Where the thing is, bool [H, W], hiding
        at most half of the person; and its color, RGB 0 to 1 [3].
    """
    rows, columns = np.nonzero(silhouette)
    pick = rng.integers(len(rows))
    height = np.ptp(rows) + 1
    width, length = rng.uniform(0.12, 0.4, 2) * height
    angle = rng.uniform(0, 180)
    if rng.random() < 0.35:
        # a bar crosses the whole picture: a pole, a railing
        width, length = rng.uniform(0.04, 0.1) * height, 4 * max(silhouette.shape)
        angle = rng.choice([0., 90.]) + rng.normal(0, 8)
    mask = np.zeros(silhouette.shape, np.uint8)
    state = rng.bit_generator.state
    while True:
        rng.bit_generator.state = state
        mask[:] = 0
        _fill(rng, mask, ((float(columns[pick]), float(rows[pick])),
                          (float(width), float(length)), float(angle)))
        if (silhouette & (mask > 0)).sum() <= 0.5 * len(rows):
            break
        width, length = 0.8 * width, 0.8 * length
    color = np.array(colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.15, 0.85)))
    return mask > 0, color


def sample_light(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a lamp and the light from all around.

    Returns:
        dict[str, np.ndarray]: ``direction`` towards the lamp in camera
        coordinates [3], ``ambient`` and ``directional`` RGB [3].
    """
    azimuth, height = rng.uniform(-1.2, 1.2), rng.uniform(0.2, 1.2)
    direction = np.array([
        np.sin(azimuth) * np.cos(height), -np.sin(height),
        -np.cos(azimuth) * np.cos(height)
    ])
    ambient = rng.uniform(0.38, 0.55)
    tint = 1 + rng.normal(0, 0.03, 3)
    return dict(
        direction=direction,
        ambient=np.full(3, ambient),
        directional=tint * rng.uniform(0.55, 0.75))


def shade(color: np.ndarray, normals: np.ndarray,
          light: dict[str, np.ndarray]) -> np.ndarray:
    """Light a matte surface of these colors and normals, [N, 3] each."""
    direct = np.clip(normals @ light['direction'], 0, 1)[:, None]
    # the sky is brighter than the floor
    sky = (1 - 0.3 * normals[:, 1:2]) * light['ambient']
    return np.clip(color * (sky + direct * light['directional']), 0, 1)


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Take the picture: softness, brightness, noise, BGR in 8 bits."""
    blur = rng.uniform(0, 0.7)
    if blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image = (image - 0.5) * rng.uniform(0.85, 1.1) + 0.5
    image = image + rng.normal(0, 0.04)
    image = image + rng.normal(0, rng.uniform(0, 0.025), image.shape)
    return np.round(255 * np.clip(image[..., ::-1], 0, 1)).astype(np.uint8)


def _muted(rng):
    return np.array(colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0, 0.35), rng.uniform(0.25, 0.9)))


def _contrasting(rng, clothes):
    """Of three muted colors, the farthest from the nearest garment."""
    candidates = [_muted(rng) for _ in range(3)]
    distances = [
        np.abs(clothes - candidate).sum(axis=1).min(initial=np.inf)
        for candidate in candidates
    ]
    return candidates[int(np.argmax(distances))]
