"""Video files that give no frames: each is refused with its reason, without opening anything else or taking memory."""

import ast
import random
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from peaks import with_peak
from small_videos import ffmpeg, write_video

from in21k.train.video.faults import VideoError, VideoFault
from in21k.train.video.video_file import MOST_PIXELS, open_video

ROOT = Path(__file__).resolve().parents[3]


def fault_of(path: Path) -> VideoFault | None:
    """Why a video gives not all of its frames; None if it does."""
    try:
        with open_video(path) as video:
            list(video.frames_at([Fraction(number, 25) for number in range(60)]))
    except VideoError as error:
        return error.fault
    return None


def cut(path: Path, share: float) -> Path:
    """A copy that ends early."""
    whole, short = path.read_bytes(), path.with_name(f"cut-{path.name}")
    short.write_bytes(whole[: int(len(whole) * share)])
    return short


def damaged(path: Path, frame: int) -> Path:
    """A copy with a few bytes changed in the packet of a frame."""
    content, rest = bytearray(path.read_bytes()), random.Random(frame)
    with av.open(str(path)) as container:
        packet = [each for each in container.demux(video=0) if each.size][frame]
    for _ in range(3):
        content[packet.pos + rest.randrange(min(16, packet.size - 1), packet.size)] ^= rest.randrange(1, 256)
    other = path.with_name(f"damaged-{frame}-{path.name}")
    other.write_bytes(content)
    return other


def noise(frames: int) -> list[np.ndarray]:
    levels = np.random.default_rng(0).integers(0, 256, (frames, 12, 16, 3), np.uint8)
    return list(levels.repeat(8, 1).repeat(8, 2))


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert fault_of(tmp_path / "a.mp4") is VideoFault.EMPTY


@pytest.mark.parametrize("content", [b"no video", bytes(4096), b"\x89PNG\r\n\x1a\n" + bytes(99), b"RIFF" + bytes(99)])
def test_other_files_are_no_videos(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert fault_of(tmp_path / "a.mp4") is VideoFault.NOT_A_VIDEO


def test_a_sound_alone_is_no_video(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", tmp_path / "a.mp4")
    assert fault_of(tmp_path / "a.mp4") is VideoFault.NOT_A_VIDEO


def test_a_codec_that_is_not_on_the_list_is_not_decoded(tmp_path):
    path = write_video(tmp_path / "a.avi", "ffv1", 3)
    with pytest.raises(VideoError, match="not-a-video: its codec is ffv1"), open_video(path):
        pass


@pytest.mark.parametrize("flags", ["", "+faststart"])
def test_a_file_cut_off_in_the_middle_is_refused(tmp_path, flags):
    plain = write_video(tmp_path / "a.mp4", "libx264", noise(40))
    ffmpeg("-i", plain, "-c", "copy", "-movflags", flags or "0", whole := tmp_path / "whole.mp4")
    assert fault_of(cut(whole, 0.6)) in (VideoFault.TRUNCATED, VideoFault.DAMAGED)
    assert fault_of(cut(whole, 0.01)) in (VideoFault.TRUNCATED, VideoFault.DAMAGED)


def test_a_stream_that_was_cut_off_plays_to_where_it_ends(tmp_path):
    short = cut(write_video(tmp_path / "a.mkv", "libx264", noise(40)), 0.6)
    with open_video(short) as video:
        assert 0 < video.duration < Fraction(35, 25)
        frames = list(video.frames_at([Fraction(0), video.duration]))
    assert not np.array_equal(*frames)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mov", "mjpeg")])
def test_damage_on_the_way_to_a_frame_is_a_fault_and_behind_it_is_none(tmp_path, name, codec):
    whole = write_video(tmp_path / name, codec, noise(40))
    others = [damaged(whole, frame) for frame in range(24, 36)]
    assert [fault_of(other) for other in others].count(VideoFault.DAMAGED) >= 6  # other bits may be valid, too
    other = others[-1]
    times = [Fraction(number, 25) for number in range(10)]
    with open_video(whole) as one, open_video(other) as two:
        assert np.array_equal(np.stack(list(one.frames_at(times))), np.stack(list(two.frames_at(times))))


def test_an_angle_that_is_no_right_one_is_refused(tmp_path):
    ffmpeg("-display_rotation", 30, "-i", write_video(tmp_path / "a.mp4", "mpeg4", 5), "-c", "copy", tmp_path / "b.mp4")
    assert fault_of(tmp_path / "b.mp4") is VideoFault.ROTATED


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{url}'\n"],
    ids=["hls", "concat"],
)
def test_a_playlist_opens_no_address(tmp_path, playlist):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (tmp_path / "a.mp4").write_text(playlist.format(url=f"http://127.0.0.1:{server.server_port}/a.ts"))
        try:
            assert fault_of(tmp_path / "a.mp4") is VideoFault.NOT_A_VIDEO
        finally:
            server.shutdown()
            thread.join()
    assert asked == []


LOOK = """
import sys
from fractions import Fraction
from pathlib import Path
from in21k.train.video.faults import VideoError
from in21k.train.video.video_file import open_video
try:
    for path in map(Path, sys.argv[1:]):
        with open_video(path) as video:
            length, taken = video.duration, 0
            for start in (Fraction(0), length / 2, length - 12):
                for pixels in video.frames_at([start + frame / Fraction(8, 5) for frame in range(16)]):
                    taken += 1
        print(float(length), taken)
except VideoError as error:
    print(error)
"""


def looked_at(*paths: Path) -> tuple[str, int]:
    """What a process says of videos, and its peak memory in MiB."""
    run, peak = with_peak(sys.executable, "-c", LOOK, *paths)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout, peak


def test_a_two_hour_video_takes_no_more_memory_than_a_short_one(tmp_path):
    rest = np.random.default_rng(0)
    frames = [rest.integers(0, 256, (112, 160, 3), np.uint8) for _ in range(30)]
    short, long = write_video(tmp_path / "short.mp4", "mpeg4", frames, rate=1), tmp_path / "long.mp4"
    ffmpeg("-stream_loop", -1, "-i", short, "-t", 7200, "-c", "copy", long)
    assert long.stat().st_size > 100 << 20
    said, plain = looked_at(short)
    assert said == "30.0 48\n"
    said, peak = looked_at(long)
    assert said == "7200.0 48\n"
    assert peak < plain + 24  # an index of 7,200 packets, and no more


THREADS = """
import os, sys
from fractions import Fraction
from pathlib import Path
from in21k.train.video import video_file
import av, numpy
before, most = len(os.listdir("/proc/self/task")), 0
with video_file.open_video(Path(sys.argv[1])) as video:
    for pixels in video.frames_at([Fraction(number, 25) for number in range(20)]):
        most = max(most, len(os.listdir("/proc/self/task")))
print(most - before)
"""


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mp4", "libx265")])
def test_one_thread_decodes(tmp_path, name, codec):
    path = write_video(tmp_path / name, codec, [np.zeros((480, 640, 3), np.uint8)] * 20)
    run = subprocess.run([sys.executable, "-c", THREADS, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "0\n"


def with_sizes(path: Path, width: int, height: int) -> Path:
    """A copy of a Motion JPEG whose pictures claim another size."""
    content, at = bytearray(path.read_bytes()), 0
    while (at := content.find(b"\xff\xc0\x00\x11\x08", at)) >= 0:
        struct.pack_into(">HH", content, at + 5, height, width)
        at += 1
    other = path.with_name(f"claims-{path.name}")
    other.write_bytes(content)
    return other


def test_a_size_over_the_limit_takes_no_memory(tmp_path):
    path = write_video(tmp_path / "a.avi", "mjpeg", 5)
    _, plain = looked_at(path)
    said, peak = looked_at(with_sizes(path, 60_000, 60_000))
    assert said.startswith(("too-many-pixels: ", "damaged: "))
    assert peak < plain + 24
    assert MOST_PIXELS < 60_000**2


def test_video_files_are_opened_in_one_place():
    importers = set()
    for package in ("prep", "shards_manifest", "train", "tree"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.partition(".")[0] in ("av", "torchcodec", "imageio_ffmpeg") for name in names):
                    importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"train/video/video_file.py"}
