"""Video files in class folders: train/CLASS/VIDEO and val/CLASS/VIDEO, as images lie in an image folder."""

from dataclasses import dataclass
from pathlib import Path

from in21k.train.data.interfaces import Decoding
from in21k.train.data.open_datasets.image_files import FolderFiles, has_extension
from in21k.train.data.open_datasets.image_folder import FileKind, is_image_folder, open_image_folder
from in21k.train.data.open_datasets.listed import ListedDataset

EXTENSIONS = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"))
"""Of video files, in upper or lower case; other files are ignored."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VideoDataset(ListedDataset):
    """Videos in the splits `train` and `val`, and a plain list of C classes; implements `TrainingData`."""

    def decoding(self, image_size: int) -> Decoding:
        """Return how frames become pixels: squished into a square."""
        return Decoding(image_size=image_size, is_video=True)


@dataclass(frozen=True, eq=False)
class FolderVideos(FolderFiles):
    """Video files below a folder; implements both `ImageStore` and `OpenStore`."""

    def open(self) -> "FolderVideos":
        """Return the videos themselves."""
        return self

    def image(self, row: int) -> Path:
        """Return a video file's path.

        Raises:
            OSError: it is not there.
        """
        path = self.file(row)
        path.stat()
        return path


def is_video_name(path: str) -> bool:
    """Return whether a path is a video's by its extension, neither hidden nor macOS's."""
    return has_extension(path, EXTENSIONS)


VIDEOS = FileKind("videos", is_video_name, FolderVideos, VideoDataset)


def open_video_folder(root: Path, val_share: float = 0.0) -> ListedDataset:
    """Return the videos of ROOT/train and ROOT/val, as `open_image_folder` returns images.

    Raises:
        TrainError: as `open_image_folder`.
    """
    return open_image_folder(root, val_share, VIDEOS)


def is_video_folder(root: Path) -> bool:
    """Return whether a folder, or `train` in it, contains class folders with videos."""
    return is_image_folder(root, VIDEOS)
