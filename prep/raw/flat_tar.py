"""A tar of images without class folders, whose classes a list beside it says: ImageNet-1K's validation images."""

from collections.abc import Iterator
from typing import Any, Literal

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawClass
from in21k.prep.raw.members import FOLDER, Found, reject, sort_in
from in21k.prep.records import RawImage, Reason
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import TarError, read_joined_members
from in21k.tree.ground_truth import GroundTruth


class FlatTar:
    """A tar of images and the list of their classes; memory holds all of its images' places."""

    is_mixed: Literal[False] = False
    layout = "flat-tar"
    unit = "B"

    def __init__(self, location: Location, truth: GroundTruth) -> None:
        self._location = location
        self._truth = truth
        self.size = location.size() or 0

    def identity(self) -> dict[str, Any]:
        """Return the layout and the length."""
        return {"layout": self.layout, "bytes": self.size}

    def classes(self) -> Iterator[RawClass]:
        """Yield the classes in byte order.

        Raises:
            PrepError: the tar is truncated or damaged.
            TreeError: the list does not fit it.
        """
        found = Found()
        reader = self._location.open_ranges()
        try:
            for member in read_joined_members(reader.read, 0, reader.size):
                if member.type != FOLDER:
                    sort_in(member, "", "", "", found)
        except TarError as error:
            raise PrepError(
                f"{self._location.text} is cut short or damaged after {self.size} bytes ({error}); download it again"
            ) from error
        finally:
            reader.close()
        by_class: dict[str, list[RawImage]] = {}
        for image, wnid in zip(found.images, self._truth.wnids([image.name for image in found.images]), strict=True):
            by_class.setdefault(wnid, []).append(image)
        unlisted = by_class.pop("", [])
        detail = f"{self._truth.text} does not list it"
        rejects = [reject("", image.name, Reason.NOT_IN_A_CLASS, detail) for image in unlisted]
        yield RawClass("", [], found.rejects + rejects, 0)
        for wnid in sorted(by_class):
            yield RawClass(wnid, by_class[wnid], [], self.size)
