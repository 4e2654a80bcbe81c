"""The demo's pictures: shapes, patterns and colors determined by a class and its ancestors."""

import colorsys
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

PARENTS: Mapping[str, str | None] = {
    "n00015388": None,  # animal
    "n01317541": "n00015388",  # domestic animal
    "n02084071": "n01317541",  # dog
    "n02087122": "n02084071",  # hunting dog
    "n02087551": "n02087122",  # hound
    "n02092468": "n02087122",  # terrier
    "n02121808": "n01317541",  # domestic cat
    "n01471682": "n00015388",  # vertebrate
    "n01503061": "n01471682",  # bird
    "n01844917": "n01503061",  # aquatic bird
    "n01858441": "n01844917",  # swan
    "n01816887": "n01503061",  # parrot
    "n01861778": "n01471682",  # mammal
    "n01886756": "n01861778",  # placental
    "n01887787": "n01886756",  # cow
    "n02512053": "n01471682",  # fish
    "n00021939": None,  # artifact
    "n03051540": "n00021939",  # clothing
    "n04524313": "n00021939",  # vehicle
    "n02858304": "n04524313",  # boat
    "n02691156": "n04524313",  # airplane
    "n02913152": "n00021939",  # building
    "n03028079": "n02913152",  # church
    "n00021265": None,  # food
    "n07557434": "n00021265",  # dish
    "n07873807": "n07557434",  # pizza
    "n00017222": None,  # plant
    "n13104059": "n00017222",  # tree
    "n12268246": "n13104059",  # oak
    "n13108841": "n13104059",  # conifer
    "n11669921": "n00017222",  # flower
    "n11939491": "n11669921",  # daisy
    "n11978233": "n11669921",  # sunflower
}
"""The drawn classes, parents before children, each with its nearest drawn ancestor in WordNet 3.0."""

_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"

_BACKGROUNDS = ((0.09, "waves"), (0.60, "grid"), (0.97, "blobs"), (0.33, "speckles"))  # hue, texture
_SHAPES = (("polygon", 40), ("polygon", 3), ("polygon", 4), ("lobes", 3), ("lobes", 4), ("polygon", 6), ("lobes", 5))
_PATTERNS = ("stripes", "rings", "spokes", "checks")
_ORNAMENTS = ("halo", "satellites")
_FRAMES = ("bright", "dark")

_Plane = npt.NDArray[np.floating[Any]]


def traits() -> dict[str, tuple[int, ...]]:
    """Return the traits of each drawn class: one number for each ancestor and for itself, root first.

    The number is a rank among the classes of that level, and selects one of the level's traits.
    """
    paths: dict[str, tuple[int, ...]] = {}
    drawn_at_level: dict[int, int] = {}
    for wnid, parent in PARENTS.items():
        above = paths[parent] if parent else ()
        rank = drawn_at_level.get(len(above), 0)
        drawn_at_level[len(above)] = rank + 1
        paths[wnid] = (*above, rank)
    return paths


def encode(picture: Image.Image, kind: str, quality: int) -> bytes:
    """Return the bytes of a picture's file, which is odd or broken if `kind` says so."""
    stream = io.BytesIO()
    exif = Image.Exif()
    match kind:
        case "empty":
            return b""
        case "html":
            return _HTML
        case "png":
            picture.save(stream, "PNG")
            return stream.getvalue()
        case "grayscale":
            picture = picture.convert("L")
        case "cmyk":
            picture = picture.convert("CMYK")
        case "tiny":
            picture = picture.resize((13, 9))
        case "rotated":
            picture = picture.transpose(Image.Transpose.ROTATE_90)
            exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise to display
    picture.save(stream, "JPEG", quality=quality, exif=exif)
    content = stream.getvalue()
    return content[: len(content) * 3 // 5] if kind == "truncated" else content


def paint(path: Sequence[int], rng: np.random.Generator, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return uint8 [height, width, 3]: a picture with the traits of `path`; everything else is random."""
    scale = min(width, height) / 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / scale, (y - height / 2) / scale
    hue, texture = _BACKGROUNDS[path[0] % len(_BACKGROUNDS)]
    hue += rng.uniform(-0.03, 0.03)
    picture = _color(hue, 0.45, 0.55) * (1 + 0.3 * _texture(texture, x, y, rng))[..., None]
    for _ in range(rng.integers(0, 3)):  # clutter
        blot = np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-1, 1)) - rng.uniform(0.05, 0.2)
        _lay(picture, _inside(blot, scale), _color(rng.uniform(), 0.3, rng.uniform(0.2, 0.9)))
    if len(path) > 1:
        _paint_body(picture, path, hue, x, y, scale, rng)
    if len(path) > 4:
        border = np.maximum(np.abs(x) / width, np.abs(y) / height) * 2 * scale  # 1 at the picture's border
        bright = _FRAMES[path[4] % len(_FRAMES)] == "bright"
        _lay(picture, _inside(rng.uniform(0.82, 0.88) - border, scale), _color(hue, 0.1, 0.95 if bright else 0.12))
    light = 1 + rng.uniform(-0.2, 0.2) * x + rng.uniform(-0.2, 0.2) * y
    noise = rng.normal(0, 0.04, (height, width, 1)).astype(np.float32)
    picture = np.clip(picture * light[..., None] * rng.uniform(0.8, 1.15) + noise, 0, 1)
    return np.asarray(255 * picture, np.uint8)


def _paint_body(
    picture: _Plane, path: Sequence[int], hue: float, x: _Plane, y: _Plane, scale: float, rng: np.random.Generator
) -> None:
    """Draw the body over the picture: its shape, and the pattern and ornament that deeper levels add."""
    size, turn = rng.uniform(0.42, 0.6), rng.uniform(-0.35, 0.35)
    x, y = x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2)
    u, v = _turned(x / size, y / size, turn)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    kind, corners = _SHAPES[path[1] % len(_SHAPES)]
    outline = _outline(kind, corners, angle)
    body = _inside(radius - outline, scale * size)
    _lay(picture, body, _color(hue + 0.5 + rng.uniform(-0.08, 0.08), 0.55, rng.uniform(0.75, 0.95)))
    if len(path) > 2:
        pattern = _pattern(_PATTERNS[path[2] % len(_PATTERNS)], u, v, radius, angle, rng)
        _lay(picture, body * _inside(pattern, scale * size / 6), _color(hue + 0.5, 0.8, rng.uniform(0.15, 0.35)))
    if len(path) > 3:
        if _ORNAMENTS[path[3] % len(_ORNAMENTS)] == "halo":
            ornament = np.abs(radius - outline - 0.3) - 0.07
        else:
            spread = (angle + rng.uniform(0, 2 * math.pi)) % (2 * math.pi / 5) - math.pi / 5  # from the nearest of five
            ornament = np.hypot(radius * np.cos(spread) - 1.4, radius * np.sin(spread)) - 0.2
        _lay(picture, _inside(ornament, scale * size), _color(hue + 0.25, 0.9, rng.uniform(0.8, 1)))


def _texture(kind: str, x: _Plane, y: _Plane, rng: np.random.Generator) -> _Plane:
    """Return float [H, W] in -1 to 1: the variation of a background's brightness."""
    turn, fine = rng.uniform(0, math.pi), rng.uniform(0.8, 1.25)
    u, v = _turned(x, y, turn)
    plane: _Plane
    match kind:
        case "waves":
            plane = np.sin(9 * fine * u + 1.5 * np.sin(4 * v))
        case "grid":
            plane = 2 * np.maximum(np.cos(12 * fine * u), np.cos(12 * fine * v)) ** 8 - 1
        case "blobs":
            plane = np.sin(5 * fine * u + rng.uniform(0, 6)) * np.sin(5 * fine * v + rng.uniform(0, 6))
        case _:
            plane = rng.uniform(-1, 1, x.shape).astype(np.float32)
    return plane


def _outline(kind: str, corners: int, angle: _Plane) -> _Plane:
    """Return float [H, W]: how far a shape of unit size extends from its center in the direction of each pixel."""
    half = math.pi / corners
    plane: _Plane
    if kind == "lobes":
        plane = 0.8 + 0.3 * np.cos(corners * angle)
    else:
        plane = math.sqrt(math.cos(half)) / np.cos((angle + math.pi / 2 + half) % (2 * half) - half)
    return plane


def _pattern(kind: str, u: _Plane, v: _Plane, radius: _Plane, angle: _Plane, rng: np.random.Generator) -> _Plane:
    """Return float [H, W]: negative where a body's pattern is."""
    phase, fine = rng.uniform(0, 2 * math.pi), rng.uniform(0.85, 1.2)
    plane: _Plane
    match kind:
        case "stripes":
            plane = np.sin(9 * fine * u + phase)
        case "rings":
            plane = np.sin(11 * fine * radius + phase)
        case "spokes":
            plane = np.sin(7 * angle + phase)
        case _:
            plane = np.sin(8 * fine * u + phase) * np.sin(8 * fine * v + phase)
    return plane


def _inside(distance: _Plane, scale: float) -> _Plane:
    """Return float [H, W]: 1 where a distance is negative, 0 where positive, with an edge about two pixels wide."""
    plane: _Plane = np.clip(0.5 - distance * scale / 2, 0, 1)
    return plane


def _turned(x: _Plane, y: _Plane, angle: float) -> tuple[_Plane, _Plane]:
    """Return float [H, W] twice: the coordinates in axes rotated by an angle in radians."""
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _lay(picture: _Plane, mask: _Plane, color: _Plane) -> None:
    """Blend a color into the picture, float [H, W, 3], where the mask is set."""
    picture += mask[..., None] * (color - picture)


def _color(hue: float, saturation: float, value: float) -> _Plane:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)
