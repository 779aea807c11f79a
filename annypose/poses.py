"""Poses: classes of poses as distributions of joint angles."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

DEFAULT_CLASS_SHARES = {
    'standing': 0.30,
    'walking': 0.25,
    'sitting': 0.17,
    'reaching': 0.15,
    'bending': 0.05,
    'lying': 0.05,
    'upside_down': 0.03,
}


@dataclass
class Arm:
    """Angles of one arm, in degrees; mirrored, they fit the other arm.

    Attributes:
        elevation (float): 0 hanging, 90 horizontal, 180 overhead.
        azimuth (float): Where the raised arm points: 0 forwards, 90 to its
            own side, negative across the chest.
        twist (float): Turn about the upper arm.
        elbow (float): Flexion, 0 straight. Bends one way only.
        forearm (float): Turn about the forearm.
    """
    elevation: float = 10.
    azimuth: float = 80.
    twist: float = 0.
    elbow: float = 15.
    forearm: float = 0.

    limits = dict(elevation=(0, 178), azimuth=(-40, 125), twist=(-60, 60),
                  elbow=(2, 145), forearm=(-60, 60))


@dataclass
class Leg:
    """Angles of one leg, in degrees; mirrored, they fit the other leg.

    Attributes:
        flexion (float): Of the hip, positive forwards.
        abduction (float): Of the hip, positive away from the other leg.
        rotation (float): Of the hip, positive toes outwards.
        knee (float): Flexion, 0 straight. Bends one way only.
        ankle (float): Positive toes down.
    """
    flexion: float = 0.
    abduction: float = 0.
    rotation: float = 0.
    knee: float = 3.
    ankle: float = 0.

    limits = dict(flexion=(-30, 125), abduction=(-15, 55), rotation=(-30, 45),
                  knee=(0, 145), ankle=(-25, 45))


@dataclass
class Trunk:
    """Angles of spine and neck, in degrees.

    Attributes:
        flexion (float): Of the spine, positive forwards.
        side_bend (float): Of the spine, positive to the body's left.
        twist (float): Of the spine, positive towards the body's left.
        nod (float): Of the head, positive forwards.
        tilt (float): Of the head, positive to the body's left.
        turn (float): Of the head, positive towards the body's left.
    """
    flexion: float = 0.
    side_bend: float = 0.
    twist: float = 0.
    nod: float = 0.
    tilt: float = 0.
    turn: float = 0.

    limits = dict(flexion=(-25, 80), side_bend=(-30, 30), twist=(-40, 40),
                  nod=(-35, 40), tilt=(-25, 25), turn=(-55, 55))


@dataclass
class Pose:
    """A pose and how the whole body lies in space.

    Attributes:
        pose_class (str): One of :data:`DEFAULT_CLASS_SHARES`.
        left_arm, right_arm (Arm): The arms.
        left_leg, right_leg (Leg): The legs.
        trunk (Trunk): Spine and neck.
        pitch (float): Whole body about its left-right axis, degrees, positive
            face down; -90 lies on the back.
        roll (float): Whole body about its back-front axis, degrees; 180 stands
            on the hands.
        sideways (float): Turn about the vertical, in degrees, that shows the
            body from its long side (lying).
    """
    pose_class: str
    left_arm: Arm = field(default_factory=Arm)
    right_arm: Arm = field(default_factory=Arm)
    left_leg: Leg = field(default_factory=Leg)
    right_leg: Leg = field(default_factory=Leg)
    trunk: Trunk = field(default_factory=Trunk)
    pitch: float = 0.
    roll: float = 0.
    sideways: float = 0.

    def within_limits(self) -> 'Pose':
        """Clip every joint angle of this pose to what a healthy joint reaches."""
        for part in (self.left_arm, self.right_arm, self.left_leg,
                     self.right_leg, self.trunk):
            for entry in fields(part):
                low, high = part.limits[entry.name]
                value = np.clip(getattr(part, entry.name), low, high)
                setattr(part, entry.name, float(value))
        return self


def sample_pose_class(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Draw the name of a class of poses, given the probability of each."""
    names = sorted(shares)
    weights = np.array([shares[name] for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def sample_pose(rng: np.random.Generator, pose_class: str) -> Pose:
    """Draw a pose of a class, within anatomical limits."""
    pose = Pose(pose_class)
    _relax(rng, pose)
    _SAMPLERS[pose_class](rng, pose)
    return pose.within_limits()


def _relax(rng, pose):
    """Stand at ease: the start of every class."""
    trunk = pose.trunk
    trunk.flexion, trunk.side_bend, trunk.twist = rng.normal(0, (5, 4, 6))
    trunk.nod, trunk.tilt, trunk.turn = rng.normal((4, 0, 0), (8, 6, 15))
    for arm in (pose.left_arm, pose.right_arm):
        arm.elevation = rng.uniform(4, 28)
        arm.azimuth = rng.uniform(35, 110)
        arm.twist = rng.uniform(-25, 25)
        arm.elbow = 4 + abs(rng.normal(0, 22))
        arm.forearm = rng.uniform(-35, 35)
    for leg in (pose.left_leg, pose.right_leg):
        leg.flexion = rng.normal(2, 5)
        leg.abduction = rng.uniform(-2, 12)
        leg.rotation = rng.uniform(-5, 20)
        leg.knee = 2 + abs(rng.normal(0, 7))
        leg.ankle = rng.normal(0, 4)


def _standing(rng, pose):
    for arm in (pose.left_arm, pose.right_arm):
        posture = rng.choice(['hanging', 'on hip', 'lower arm up'], p=[0.6, 0.2, 0.2])
        if posture == 'on hip':
            arm.elevation, arm.azimuth = rng.normal((40, 95), (7, 8))
            arm.elbow, arm.twist = rng.normal((85, -45), (12, 8))
        elif posture == 'lower arm up':
            arm.elbow = rng.uniform(50, 120)
            arm.azimuth = rng.uniform(20, 80)


def _walking(rng, pose):
    stride = rng.uniform(15, 40)
    running = rng.random() < 0.3
    # legs, each with the opposite arm
    sides = [(pose.left_leg, pose.right_arm), (pose.right_leg, pose.left_arm)]
    (forward, arm), (back, other_arm) = sides if rng.random() < 0.5 else sides[::-1]
    forward.flexion = stride * rng.uniform(0.8, 1.4) + 25 * running
    forward.knee = rng.uniform(5, 35) + 45 * running
    back.flexion = -stride * rng.uniform(0.4, 0.7)
    back.knee = rng.uniform(10, 45) + 30 * running
    back.ankle = rng.uniform(5, 30)
    elbow = rng.uniform(65, 105) if running else rng.uniform(8, 45)
    arm.elevation, arm.azimuth = stride * rng.uniform(0.7, 1.3), 15
    arm.elbow = elbow + rng.uniform(0, 15)
    other_arm.elevation, other_arm.azimuth = stride * rng.uniform(0.6, 1.), 125
    other_arm.elbow = elbow
    pose.trunk.flexion = rng.normal(5 + 8 * running, 4)
    pose.pitch = rng.uniform(0, 6 + 6 * running)


def _sitting(rng, pose):
    pose.pitch = lean = rng.uniform(-15, 20)
    for leg in (pose.left_leg, pose.right_leg):
        leg.flexion = rng.uniform(72, 98) + lean
        leg.abduction = rng.uniform(2, 24)
        leg.rotation = rng.uniform(-8, 18)
        leg.knee = rng.uniform(65, 115)
        leg.ankle = rng.uniform(-8, 10)
    for arm in (pose.left_arm, pose.right_arm):
        arm.elevation = rng.uniform(10, 45)
        arm.azimuth = rng.uniform(5, 70)
        arm.elbow = rng.uniform(30, 100)
        arm.twist = rng.uniform(-20, 30)
    pose.trunk.flexion = rng.uniform(-3, 22)


def _reaching(rng, pose):
    arms = [pose.left_arm, pose.right_arm]
    if rng.random() < 0.5:
        arms.pop(rng.integers(2))
    for arm in arms:
        arm.elevation = rng.uniform(70, 175)
        arm.azimuth = rng.uniform(-10, 110)
        arm.elbow = rng.uniform(5, 60)
    pose.trunk.side_bend = rng.normal(0, 9)
    pose.trunk.nod = rng.normal(-4, 10)


def _bending(rng, pose):
    if rng.random() < 0.5:
        pose.pitch = lean = rng.uniform(25, 65)
        pose.trunk.flexion = rng.uniform(15, 50)
        knee = rng.uniform(0, 35)
        for leg in (pose.left_leg, pose.right_leg):
            leg.flexion = lean + knee / 2 + rng.normal(0, 5)
            leg.knee = knee + rng.uniform(0, 8)
    else:
        pose.pitch = lean = rng.uniform(5, 35)
        pose.trunk.flexion = rng.uniform(8, 35)
        thigh = rng.uniform(70, 100)
        for leg in (pose.left_leg, pose.right_leg):
            leg.flexion = thigh + lean + rng.normal(0, 4)
            leg.knee = rng.uniform(105, 140)
            leg.abduction = rng.uniform(8, 28)
            leg.rotation = rng.uniform(5, 25)
            leg.ankle = rng.uniform(-25, -5)
    for arm in (pose.left_arm, pose.right_arm):
        arm.elevation = rng.uniform(35, 85)
        arm.azimuth = rng.uniform(-5, 60)
        arm.elbow = rng.uniform(5, 70)
    pose.trunk.nod = rng.uniform(-25, 15)


def _lying(rng, pose):
    pose.pitch = -90. if rng.random() < 0.7 else 90.
    pose.pitch += rng.normal(0, 4)
    pose.sideways = 90. if rng.random() < 0.5 else -90.
    for arm in (pose.left_arm, pose.right_arm):
        arm.elevation = rng.uniform(8, 165)
        arm.azimuth = rng.uniform(80, 100)
        arm.elbow = rng.uniform(5, 60)
    for leg in (pose.left_leg, pose.right_leg):
        bent = max(0., rng.normal(0, 40)) if pose.pitch < 0 else 0.
        leg.flexion = min(bent, 80.)
        leg.knee = min(2 * bent, 120.) + rng.uniform(0, 10)
        leg.abduction = rng.uniform(0, 22)
        leg.ankle = rng.uniform(5, 35)


def _upside_down(rng, pose):
    pose.roll = 180 + rng.normal(0, 14)
    split = rng.uniform(0, 45)
    for leg in (pose.left_leg, pose.right_leg):
        leg.flexion = rng.uniform(-15, 40)
        leg.abduction = rng.uniform(0, 10) + split * rng.uniform(0, 1)
        leg.knee = rng.uniform(0, 60)
        leg.ankle = rng.uniform(0, 40)
    for arm in (pose.left_arm, pose.right_arm):
        arm.elevation = rng.uniform(150, 176)
        arm.azimuth = rng.uniform(40, 100)
        arm.elbow = rng.uniform(3, 30)
    pose.trunk.nod = rng.uniform(-30, 0)


_SAMPLERS = dict(
    standing=_standing, walking=_walking, sitting=_sitting,
    reaching=_reaching, bending=_bending, lying=_lying,
    upside_down=_upside_down)


def bone_rotations(pose: Pose, rest_bones: Mapping[str, np.ndarray]
                   ) -> dict[str, np.ndarray]:
    """The rotation [3, 3] of each bone that moves.

    Args:
        pose (Pose): The angles.
        rest_bones (Mapping[str, np.ndarray]): Heads of the bones of the body
            at rest [3], as in :attr:`BodyModel.rest_bones`.
    """
    trunk = pose.trunk
    spine = _euler(trunk.flexion / 5, trunk.side_bend / 5, trunk.twist / 5)
    neck = _euler(trunk.nod / 4, trunk.tilt / 4, trunk.turn / 4)
    rotations = {'root': _euler(pose.pitch, pose.roll, 0)}
    for bone in ('spine05', 'spine04', 'spine03', 'spine02', 'spine01'):
        rotations[bone] = spine
    for bone in ('neck01', 'neck02', 'neck03', 'head'):
        rotations[bone] = neck
    for sign, side, arm, leg in ((1, 'L', pose.left_arm, pose.left_leg),
                                 (-1, 'R', pose.right_arm, pose.right_leg)):
        rotations.update(_arm_rotations(arm, sign, side, rest_bones))
        rotations[f'upperleg01.{side}'] = (
            _axis_rotation((0, 1, 0), -sign * leg.abduction)
            @ _axis_rotation((1, 0, 0), -leg.flexion)
            @ _axis_rotation((0, 0, 1), sign * leg.rotation))
        rotations[f'lowerleg01.{side}'] = _axis_rotation((1, 0, 0), leg.knee)
        rotations[f'foot.{side}'] = _axis_rotation((1, 0, 0), leg.ankle)
    return rotations


def _arm_rotations(arm, sign, side, rest_bones):
    shoulder = rest_bones[f'upperarm01.{side}']
    elbow = rest_bones[f'lowerarm01.{side}']
    wrist = rest_bones[f'wrist.{side}']
    upper, lower = _unit(elbow - shoulder), _unit(wrist - elbow)
    hinge = np.cross(upper, lower)
    rest_flexion = np.degrees(np.arcsin(np.linalg.norm(hinge)))

    elevation, azimuth = np.radians([arm.elevation, arm.azimuth])
    target = np.array([
        sign * np.sin(elevation) * np.sin(azimuth),
        -np.sin(elevation) * np.cos(azimuth), -np.cos(elevation)
    ])
    # a third of what lies above 60 degrees comes from the shoulder girdle.
    girdle = _axis_rotation((0, 1, 0), -sign * max(arm.elevation - 60, 0) / 3)
    raised = (
        _axis_rotation(target, sign * arm.twist)
        @ _shortest_rotation(upper, target))
    return {
        f'clavicle.{side}': girdle,
        f'upperarm01.{side}': girdle.T @ raised,
        f'lowerarm01.{side}': _axis_rotation(hinge, arm.elbow - rest_flexion),
        f'lowerarm02.{side}': _axis_rotation(lower, sign * arm.forearm),
    }


def _unit(vector):
    return vector / np.linalg.norm(vector)


def _axis_rotation(axis, degrees):
    x, y, z = _unit(np.asarray(axis, float))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _shortest_rotation(source, target):
    axis = np.cross(source, target)
    if np.linalg.norm(axis) < 1e-6:
        return np.eye(3)
    cosine = np.clip(source @ target, -1, 1)
    return _axis_rotation(axis, np.degrees(np.arccos(cosine)))


def _euler(about_left, about_front, about_up):
    """Forwards, to the body's left, turned to its left: all positive."""
    return (
        _axis_rotation((0, 0, 1), about_up)
        @ _axis_rotation((0, 1, 0), about_front)
        @ _axis_rotation((1, 0, 0), about_left))
