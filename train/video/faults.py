"""Why a video file gives no frames: one exception for everything that FFmpeg raises."""

from enum import StrEnum


class VideoFault(StrEnum):
    """Why a video file gives no frames."""

    EMPTY = "empty"
    NOT_A_VIDEO = "not-a-video"
    """None of the containers that are opened, no video in it, or a codec that is not decoded."""
    TRUNCATED = "truncated"
    """The end that its header tells of is missing."""
    DAMAGED = "damaged"
    """FFmpeg cannot decode what a clip needs, or finds a fault in it."""
    TOO_MANY_PIXELS = "too-many-pixels"
    ROTATED = "rotated"
    """To be shown at an angle that is no multiple of 90 degrees."""


class VideoError(Exception):
    """A video file that gives no frames."""

    def __init__(self, fault: VideoFault, detail: str) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        """What was seen, for people."""

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}"
