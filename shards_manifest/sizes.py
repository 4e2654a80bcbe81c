"""Sizes in bytes, as users write them: 600MB, 1.5 TiB, 4096."""

import re
from fractions import Fraction

from in21k.shards_manifest.errors import DatasetError

LARGEST = 2**63 - 1
"""The largest size that a file system can express."""

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?) *(?:([KMGT])(I?))?B?", re.IGNORECASE | re.ASCII)


class SizeError(DatasetError):
    """A text is not a size; the message does not say which option or setting it was given to."""


def parse_size(text: str) -> int:
    """Return a size in bytes, rounded down.

    KB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB are powers of 1024; a plain number is bytes. Case does
    not matter, the B may be left out, a space may precede the unit, and the number may have a fraction.

    Raises:
        SizeError: the text is something else, less than one byte, or more than `LARGEST`.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SizeError(f"invalid size {text!r}: use e.g. 200GB, 1.5TiB or a number of bytes")
    number, prefix, binary = match.groups()
    power = " KMGT".index((prefix or " ").upper())
    size = int(Fraction(number) * (1024 if binary else 1000) ** power)
    if not 1 <= size <= LARGEST:
        raise SizeError(f"invalid size {text!r}: it must be between 1 byte and {LARGEST} bytes")
    return size
