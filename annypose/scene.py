"""One picture: people, what hides them, and what is known about them."""

from dataclasses import dataclass

import cv2
import numpy as np

from .appearance import Appearance, Wardrobe
from .body import Body, BodyModel
from .camera import Camera
from .poses import bone_rotations, sample_pose, sample_pose_class
from .rasterizer import Fragments, vertex_normals
from .scenery import (
    background,
    cast_shadow,
    draw_seat,
    expose,
    occluder,
    sample_light,
    shade,
)

# each pixel is the mean of this many squared
_SUPERSAMPLING = 2


@dataclass(frozen=True)
class Person:
    """A person in front of the camera.

    Attributes:
        body (Body): In camera coordinates, meters.
        appearance (Appearance): Colors and clothes.
        pose_class (str): The class its pose was drawn from.
    """
    body: Body
    appearance: Appearance
    pose_class: str


@dataclass(frozen=True)
class PersonLabel:
    """What is known about a person in a picture.

    Attributes:
        pose_class (str): Class of its pose.
        keypoints (np.ndarray): x, y in pixels and COCO visibility (2 visible,
            1 hidden, 0 outside the image) of each joint [17, 3].
        keypoints_3d (np.ndarray): Millimeters, camera coordinates [17, 3].
        bbox (list[float]): x, y, width, height of the whole body, clipped to
            the image, pixels.
        visible (np.ndarray): Visible silhouette, bool [size, size].
        occlusion (float): Share of the silhouette inside the image that
            something or someone hides.
    """
    pose_class: str
    keypoints: np.ndarray
    keypoints_3d: np.ndarray
    bbox: list[float]
    visible: np.ndarray
    occlusion: float


class SceneRenderer:
    """Renders pictures of people.

    Args:
        model (BodyModel): The body model.
        size (int): Width and height of the pictures, pixels.
        class_shares (dict[str, float]): Probability of each class of pose.
        yaw (float): Bodies turn at most this far from facing the camera,
            degrees, 0 to 180.
        occluders (float): Probability of a thing in front of the people.
        people (float): Probability of a second person.
    """

    def __init__(self, model: BodyModel, size: int,
                 class_shares: dict[str, float], yaw: float, occluders: float,
                 people: float) -> None:
        self.model = model
        self.wardrobe = Wardrobe(model)
        self.size = size
        self.class_shares = class_shares
        self.yaw = yaw
        self.occluders = occluders
        self.people = people

    def render(self, rng: np.random.Generator
               ) -> tuple[np.ndarray, Camera, list[PersonLabel]]:
        """Draw everything at random and render it.

        Returns:
            tuple[np.ndarray, Camera, list[PersonLabel]]: The picture, BGR
            uint8 [size, size, 3]; its camera; one label per person.
        """
        camera = Camera.sample(rng, self.size)
        two = rng.random() < self.people
        first_left = rng.random() < 0.5
        persons = []
        for number in range(1 + two):
            if two:
                center = 0.3 if (number == 0) == first_left else 0.7
                extent = rng.uniform(0.5, 0.75)
            else:
                center, extent = 0.5, rng.uniform(0.6, 0.9)
            persons.append(self._sample_person(rng, camera, center, extent))
        return self.render_people(rng, camera, persons)

    def _sample_person(self, rng, camera, center, extent):
        pose = sample_pose(rng, sample_pose_class(rng, self.class_shares))
        body = self.model.pose(
            _sample_shape(rng), bone_rotations(pose, self.model.rest_bones))
        turn = camera.orientation(rng.uniform(-self.yaw, self.yaw) + pose.sideways)
        target = self.size * (np.array([center, 0.5]) + rng.normal(0, 0.035, 2))
        if rng.random() < 0.1:
            # partly outside the picture
            target[rng.integers(2)] += self.size * rng.choice([-1, 1]) * (
                rng.uniform(0.15, 0.4))
        target = np.clip(target, 0.1 * self.size, 0.9 * self.size)
        body = body.moved(turn)
        shift = camera.place(body.vertices, target, extent * self.size)
        return Person(body.moved(shift=shift), self.wardrobe.dress(rng),
                      pose.pose_class)

    def render_people(self, rng: np.random.Generator, camera: Camera,
                      persons: list[Person], obstacle: np.ndarray | None = None
                      ) -> tuple[np.ndarray, Camera, list[PersonLabel]]:
        """Render given people in random surroundings.

        Args:
            rng (np.random.Generator): Source of the surroundings.
            camera (Camera): The camera.
            persons (list[Person]): The people, in camera coordinates.
            obstacle (np.ndarray | None): Where a thing stands in front of
                everybody, bool [size, size]. None leaves it to chance.

        Returns:
            tuple[np.ndarray, Camera, list[PersonLabel]]: As :meth:`render`.
        """
        fine = self.size * _SUPERSAMPLING
        fragments = Fragments.empty(fine, fine)
        outlines, silhouettes, normals = [], [], []
        for number, person in enumerate(persons):
            normal = vertex_normals(person.body.vertices, self.model.faces)
            skin = person.body.vertices + (
                normal * person.appearance.thickness[:, None])
            pixels = camera.project(skin)
            outlines.append(pixels)
            normals.append(normal)
            silhouettes.append(fragments.draw(
                _to_fine(pixels), skin[:, 2].astype(np.float32),
                self.model.faces, number))

        clothes = np.array([
            color for person in persons
            for color in (person.appearance.shirt, person.appearance.trousers)
        ]).reshape(-1, 3)
        image = cv2.resize(
            background(rng, self.size, clothes), (fine, fine),
            interpolation=cv2.INTER_LINEAR)
        for person, silhouette in zip(persons, silhouettes, strict=True):
            cast_shadow(image, silhouette)
            if person.pose_class == 'sitting' and rng.random() < 0.7:
                joints = _to_fine(camera.project(person.body.joints))
                draw_seat(rng, image, joints[11:13], joints[15:17])
        light = sample_light(rng)
        for number, person in enumerate(persons):
            seen = fragments.owner == number
            face, weights = fragments.face[seen], fragments.weights[seen]
            normal = np.einsum('nk,nkd->nd', weights,
                               normals[number][self.model.faces[face]])
            color = self.wardrobe.color(person.appearance, face, weights)
            image[seen] = shade(color, normal, light)

        hidden = np.zeros((fine, fine), bool)
        if obstacle is not None:
            hidden = np.kron(obstacle, np.ones((_SUPERSAMPLING, _SUPERSAMPLING), bool))
            image[hidden] = 0.5
        elif rng.random() < self.occluders and silhouettes[0].any():
            hidden, color = occluder(rng, silhouettes[0])
            image[hidden] = color
        image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)

        labels = [
            self._label(camera, person, number, fragments, hidden,
                        silhouettes[number], outlines[number])
            for number, person in enumerate(persons)
        ]
        return expose(rng, image), camera, labels

    def _label(self, camera, person, number, fragments, hidden, silhouette, outline):
        joints = np.round(1000 * person.body.joints.astype(float), 2)
        pixels = camera.project(joints)
        visibility = [
            self._visibility(joint, pixel, person, number, fragments, hidden)
            for joint, pixel in enumerate(pixels)
        ]
        keypoints = np.column_stack([np.round(pixels, 2), visibility])
        keypoints[keypoints[:, 2] == 0] = 0
        visible = (fragments.owner == number) & ~hidden
        low = np.clip(outline.min(axis=0), 0, self.size - 1)
        high = np.clip(outline.max(axis=0), 0, self.size - 1)
        share = visible.reshape(self.size, _SUPERSAMPLING, self.size,
                                _SUPERSAMPLING).mean(axis=(1, 3))
        return PersonLabel(
            pose_class=person.pose_class,
            keypoints=keypoints,
            keypoints_3d=joints,
            bbox=[round(float(x), 2) for x in (*low, *(high - low))],
            visible=share >= 0.5,
            occlusion=1 - float(visible.sum() / max(silhouette.sum(), 1)))

    def _visibility(self, joint, pixel, person, number, fragments, hidden):
        if (pixel < 0).any() or (pixel > self.size - 1).any():
            return 0
        column, row = np.round(_to_fine(pixel)).astype(int)
        if hidden[row, column]:
            return 1
        depth = person.body.joints[joint, 2]
        front = fragments.depth[row, column]
        if front >= depth:
            return 2
        if fragments.owner[row, column] != number:
            return 1
        part = self.model.face_part[fragments.face[row, column]]
        flesh = person.body.flesh_depth[joint] + person.appearance.thickness[
            self.model.faces[fragments.face[row, column], 0]]
        own = self.model.own_flesh(joint, part)
        return 2 if own and depth - front <= flesh else 1


def _to_fine(pixels):
    """Pixel coordinates in the supersampled picture."""
    return pixels * _SUPERSAMPLING + (_SUPERSAMPLING - 1) / 2


def _sample_shape(rng):
    adult = rng.random() < 0.85
    return dict(
        gender=rng.random(),
        age=rng.uniform(0.6, 1.0) if adult else rng.uniform(0.33, 0.6),
        muscle=rng.uniform(0.2, 0.8),
        weight=rng.uniform(0.15, 0.85),
        height=rng.uniform(0.3, 0.6),
        proportions=rng.uniform(0.2, 0.8))
