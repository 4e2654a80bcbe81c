"""Images that were gzipped where they lie: fall11 holds 26 such JPEGs."""

import zlib

from in21k.shards_manifest.images.faults import DecoderGuard, ImageError, ImageFault, not_an_image

_SIGNATURE = b"\x1f\x8b"
_LIMIT = 64 << 20
"""Bytes that are unpacked at most."""


def unpacked(data: bytes) -> bytes:
    """Return an image file's bytes out of a gzip around them; as they are where there is none.

    One member of one level is unpacked; what lies behind it does no harm, as behind an image's end.

    Raises:
        ImageError: the gzip is damaged, cut short, or unpacks to more than 64 MiB.
    """
    if not data.startswith(_SIGNATURE):
        return data
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    with DecoderGuard(data):
        whole = member.decompress(data, _LIMIT + 1)
    if len(whole) > _LIMIT:
        raise not_an_image(data, f"a gzip that unpacks to more than {_LIMIT >> 20} MiB")
    if not member.eof:
        raise ImageError(ImageFault.TRUNCATED, f"a gzip that ends early, after {len(whole)} bytes of its content")
    return whole
