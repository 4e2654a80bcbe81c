"""The frame at a time: the one that ffmpeg extracts there, in any container, from any place in the file."""

from fractions import Fraction

import numpy as np
import pytest
from small_videos import ffmpeg, frames_by_ffmpeg, gray, write_video

from in21k.train.video.clips import Clips
from in21k.train.video.video_file import open_video

RATES = (Fraction(8, 5), Fraction(10), Fraction(60))

FORMS = {
    "h264.mp4": ("libx264", {"bf": "3"}),
    "h264-open.mkv": ("libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2"}),
    "mpeg4.avi": ("mpeg4", {}),
    "mpeg2.mp4": ("mpeg2video", {"bf": "2"}),
    "mjpeg.mov": ("mjpeg", {}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime"}),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none:bframes=3:pools=1"}),
}


def taken(path, times):
    with open_video(path) as video:
        return np.stack(list(video.frames_at(times)))


def at(rate, count, start=0):
    return [start + number / rate for number in range(count)]


def same(mine, theirs):
    assert mine.shape == theirs.shape
    assert np.array_equal(mine, theirs)


@pytest.fixture(scope="module", params=FORMS)
def video(request, tmp_path_factory):
    codec, options = FORMS[request.param]
    return write_video(tmp_path_factory.mktemp("form") / request.param, codec, 60, **options)


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_frames_at_stated_times_are_those_that_ffmpeg_extracts(video, rate):
    theirs = frames_by_ffmpeg(video, rate)
    assert len(theirs) >= 3
    same(taken(video, at(rate, len(theirs))), theirs)


def test_frames_from_the_middle_are_those_on_the_way_from_the_start(video):
    times = at(Fraction(25), 60)
    every = taken(video, times)
    assert len({frame.tobytes() for frame in every}) == 60
    for first in range(0, 60, 7):
        same(taken(video, times[first : first + 3]), every[first : first + 3])


def test_a_time_between_two_frames_shows_the_earlier_one(video):
    just_before, then = taken(video, [Fraction(4, 25) - Fraction(1, 10**6), Fraction(4, 25)])
    three, four = taken(video, [Fraction(3, 25), Fraction(4, 25)])
    same(just_before, three)
    same(then, four)


def test_av1_is_decoded_by_the_library_for_it(tmp_path):
    path = write_video(tmp_path / "a.mkv", "libsvtav1", 30, size=(64, 64), preset="12")
    theirs = frames_by_ffmpeg(path, 10, (64, 64))
    same(taken(path, at(Fraction(10), len(theirs))), theirs)
    same(taken(path, at(Fraction(10), 3, Fraction(4, 10))), theirs[4:7])


def test_a_variable_frame_rate_counts_by_its_timestamps(tmp_path):
    path = write_video(tmp_path / "a.mkv", "libx264", 30, times=lambda number: number * number * 3 + number * 7)
    for rate in RATES:
        theirs = frames_by_ffmpeg(path, rate)
        same(taken(path, at(rate, len(theirs))), theirs)
    with open_video(path) as video:
        assert video.duration > Fraction(29 * 29 * 3 + 29 * 7, 1000)


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.avi", "mjpeg"), ("a.mp4", "mpeg4")])
def test_odd_sizes_keep_every_pixel(tmp_path, name, codec):
    path = write_video(tmp_path / name, codec, 12, size=(319, 239))
    mine, theirs = taken(path, at(Fraction(25), 12)), frames_by_ffmpeg(path, 25, (319, 239))
    if name == "a.mp4":  # in which it says where between the pixels the colors lie, which only the binary heeds
        assert mine.shape == theirs.shape
        assert np.abs(mine.astype(int) - theirs).mean() < 0.1
    else:
        same(mine, theirs)


@pytest.mark.parametrize(
    "how",
    [("-display_rotation", turn, *flip) for turn in (0, 90, 180, 270) for flip in ((), ("-display_hflip",))],
    ids=lambda how: "".join(map(str, how)).replace("-display_", "-"),
)
def test_frames_are_turned_and_mirrored_as_the_display_matrix_says(tmp_path, how):
    plain = write_video(tmp_path / "plain.mp4", "libx264", 5)
    turned = tmp_path / "turned.mp4"
    ffmpeg(*how, "-i", plain, "-c", "copy", turned)
    size = (48, 64) if how[1] in (90, 270) else (64, 48)
    same(taken(turned, at(Fraction(25), 5)), frames_by_ffmpeg(turned, 25, size))


def test_a_video_ends_where_its_edit_list_says(tmp_path):
    path = write_video(tmp_path / "a.mp4", "libx264", 60, bf="2")
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12  # behind version, flags and count: how long it is shown, in milliseconds
    assert int.from_bytes(content[at : at + 4]) == 2400
    content[at : at + 4] = (1200).to_bytes(4)
    path.write_bytes(content)
    theirs = frames_by_ffmpeg(path, 25)
    assert len(theirs) == 30
    with open_video(path) as video:
        assert video.duration == Fraction(30, 25)
        same(np.stack(list(video.frames_at(at_25(31)))), np.concatenate((theirs, theirs[-1:])))


def at_25(count):
    return at(Fraction(25), count)


def test_time_begins_with_the_first_frame_wherever_the_sound_begins(tmp_path):
    plain, sound = write_video(tmp_path / "plain.mp4", "libx264", 25), tmp_path / "sound.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=d=3", "-itsoffset", 1, "-i", plain, "-c:v", "copy", sound)
    same(taken(sound, at(Fraction(10), 10)), taken(plain, at(Fraction(10), 10)))
    with open_video(sound) as late, open_video(plain) as early:
        assert float(late.duration) == pytest.approx(float(early.duration), abs=0.01)


def test_a_cover_picture_is_not_the_video(tmp_path):
    plain, covered = write_video(tmp_path / "plain.mp4", "libx264", 25), tmp_path / "covered.mp4"
    cover = write_video(tmp_path / "cover.avi", "mjpeg", [np.zeros((300, 400, 3), np.uint8)])
    copy = ["-map", 1, "-map", 0, "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", plain, "-i", cover, *copy, covered)
    same(taken(covered, at(Fraction(10), 10)), taken(plain, at(Fraction(10), 10)))


def test_the_last_frame_is_repeated_where_a_video_is_too_short(tmp_path):
    path, clips = write_video(tmp_path / "a.mp4", "mpeg4", 10), Clips(frames=16, rate=Fraction(8, 5))
    with open_video(path) as video:
        assert video.duration == Fraction(10, 25)
        frames = list(video.frames_at(clips.times(video.duration, Fraction(1, 2))))
    first, *_, last = taken(path, at(Fraction(25), 10))
    same(frames[0], first)
    assert all(np.array_equal(frame, last) for frame in frames[1:])


def test_a_video_of_one_frame_is_that_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", "mpeg4", 1)
    same(taken(path, at(Fraction(8, 5), 4)), np.stack([taken(path, [Fraction(0)])[0]] * 4))
    assert np.abs(taken(path, [Fraction(0)])[0].astype(int) - gray(0, 64, 48)).mean() < 12


REMUXED = {
    "fragments.mp4": ["-movflags", "frag_keyframe+empty_moov+default_base_moof"],
    "front.mp4": ["-movflags", "+faststart"],
    "cut.mp4": ["-ss", "0.9"],  # an edit list hides the frames from the keyframe before to the cut
    "cut.mkv": ["-ss", "0.9"],
    "late.mkv": ["-output_ts_offset", "5"],
    "late.mp4": ["-output_ts_offset", "5"],
    "live.mkv": ["-live", "1"],  # neither a duration nor an index
    "plain.avi": ["-bf", "0"],
}


@pytest.mark.parametrize("name", REMUXED)
def test_frames_of_a_remuxed_file_are_those_that_ffmpeg_extracts(tmp_path, name):
    codec = "mpeg4" if name.endswith(".avi") else "libx264"
    source, path = (
        write_video(tmp_path / "source.mp4", codec, 60, bf="2" if codec == "libx264" else "0"),
        tmp_path / name,
    )
    before = REMUXED[name] if "-ss" in REMUXED[name] else []
    ffmpeg(*before, "-i", source, "-c", "copy", *([] if before else REMUXED[name]), path)
    theirs = frames_by_ffmpeg(path, 25)
    assert len(theirs) >= 30
    same(taken(path, at(Fraction(25), len(theirs))), theirs)
    for first in (0, 11, 25):
        same(taken(path, at(Fraction(25), 3, Fraction(first, 25))), theirs[first : first + 3])
    with open_video(path) as video:
        assert float(video.duration) == pytest.approx(len(theirs) / 25, abs=0.05)
