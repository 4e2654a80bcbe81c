"""Programs planted on the PATH that leave a mark when something starts them, and the files that make Pillow do so."""

import io
import os
import struct
import zipfile
from pathlib import Path

from hostile_images import jpeg_with_comment
from image_files import FILES, FOREIGN

PROGRAMS = ("gs", "gswin32c", "gswin64c", "convert", "magick", "display", "xdg-open", "ffmpeg", "rsvg-convert")

_EPS = FOREIGN["eps"]

STARTING: dict[str, bytes] = {
    "eps": _EPS,
    "dos eps": b"\xc5\xd0\xd3\xc6" + struct.pack("<6IH", 30, len(_EPS), 0, 0, 0, 0, 0xFFFF) + _EPS,
    "pdf": FOREIGN["pdf"],
    "pdf with a jpeg": FOREIGN["pdf with a jpeg"],
    "wmf": FOREIGN["wmf"],
    "fli": FOREIGN["fli"],
}
"""Files of formats that are not opened; Pillow hands the first two to Ghostscript."""


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("figure.eps", _EPS)
    return packed.getvalue()


POLYGLOTS: dict[str, bytes] = {
    "jpeg and pdf": jpeg_with_comment(FOREIGN["pdf"]),
    "jpeg and eps": FILES["jpeg"]() + _EPS,
    "gif and zip": FILES["gif"]() + _zip(),
}
"""Images of formats that are opened, and something else as well."""


def plant(folder: Path) -> tuple[dict[str, str], Path]:
    """Plant the programs; return the environment to run with, and the file that they would write."""
    mark = folder / "started"
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {mark}\n')
        (programs / name).chmod(0o755)
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}, mark
