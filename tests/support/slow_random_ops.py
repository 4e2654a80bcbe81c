"""The operations of the package `randaugment` from what they do, in Pillow, one image at a time."""

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

GRAY = (128, 128, 128)
NAMES = {
    *("Invert", "Cutout", "Sharpness", "AutoContrast", "Posterize", "ShearX", "TranslateX", "TranslateY"),
    *("ShearY", "Rotate", "Equalize", "Contrast", "Color", "Solarize", "Brightness"),
}


def slow_random_op(name: str, pixels: np.ndarray, magnitude: int, sign: int, place: tuple[float, float]) -> np.ndarray:
    """An operation of strength 1 to 9 on uint8 [H, W, 3]."""
    image, tenth = Image.fromarray(pixels), magnitude / 9
    width, height = image.size
    affine = {
        "ShearX": (1, sign * 0.3 * tenth, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, sign * 0.3 * tenth, 1, 0),
        "TranslateX": (1, 0, sign * width * tenth * 150 / 331, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, sign * height * tenth * 150 / 331),
    }
    if name in affine:
        how = Image.Resampling.BICUBIC if name.startswith("Shear") else Image.Resampling.NEAREST
        image = image.transform(image.size, Image.Transform.AFFINE, affine[name], how, fillcolor=GRAY)
    elif name == "Rotate":  # counterclockwise alone
        image = image.rotate(30 * tenth, fillcolor=GRAY)
    elif name in ("Brightness", "Color", "Contrast", "Sharpness"):
        image = getattr(ImageEnhance, name)(image).enhance(1 + sign * 0.1 * magnitude)
    elif name == "Posterize":
        image = ImageOps.posterize(image, (8, 7, 7, 6, 6, 5, 5, 4, 4)[magnitude - 1])
    elif name == "Solarize":
        image = ImageOps.solarize(image, 256 - 256 * tenth)
    elif name == "Cutout":
        x, y, half = int(place[1] * width), int(place[0] * height), (2, 4, 7, 9, 11, 13, 16, 18, 20)[magnitude - 1] // 2
        ImageDraw.Draw(image).rectangle((x - half, y - half, x + half - 1, y + half - 1), fill=(125, 122, 113))
    else:
        image = {"Invert": ImageOps.invert, "AutoContrast": ImageOps.autocontrast, "Equalize": ImageOps.equalize}[name](
            image
        )
    return np.asarray(image)
