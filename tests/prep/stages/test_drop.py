"""--drop-duplicates: what goes, who stays, and the same bytes however the run went."""

import random
import shutil

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import encode, images_of, make_dump, photo, tar_bytes
from forms import hub_shards
from kills import run_and_kill
from PIL import ImageOps

from in21k.shards_manifest.storage.location import Location

pytestmark = pytest.mark.usefixtures("inline")

DOG, COW = "n02084071", "n01887787"
SIZE = (320, 240)
OPTIONS = ("--min-images", 2, "--val-per-class", 3, "--size", 64, "--samples-per-shard", 5, "--workers", 1)
ALL = "within-class,train-val,against"


def picture(number: int):
    return photo(1000 + number, SIZE)


def copy(number: int) -> bytes:
    return encode(ImageOps.mirror(picture(number)), quality=60)


def classes():
    """Dogs and cows of which some show the same: each name says what must become of it."""
    dogs = {f"{DOG}_{number:02}": encode(picture(number), quality=90) for number in range(12)}
    dogs[f"{DOG}_01"] = copy(0)  # within the class, both in what would be val
    dogs[f"{DOG}_07"] = copy(6)  # within the class, both in train
    dogs[f"{DOG}_08"] = copy(6)  # three of them
    dogs[f"{DOG}_09"] = copy(40)  # in the other set
    cows = {f"{COW}_{number:02}": encode(picture(20 + number), quality=90) for number in range(8)}
    cows[f"{COW}_05"] = copy(2)  # of a dog that is val
    cows[f"{COW}_06"] = copy(10)  # of a dog in train: stays
    return {wnid: [(f"{key}.JPEG", data) for key, data in files.items()] for wnid, files in ((DOG, dogs), (COW, cows))}


GONE = {
    f"{DOG}_01.JPEG": ("duplicate-within-class", f"twin of {DOG}_00 ("),
    f"{DOG}_07.JPEG": ("duplicate-within-class", f"twin of {DOG}_06 ("),
    f"{DOG}_08.JPEG": ("duplicate-within-class", f"twin of {DOG}_06 ("),
    f"{DOG}_09.JPEG": ("duplicate-against", "twin of inner/test.jpg in other.tar ("),
    f"{COW}_05.JPEG": ("duplicate-train-val", f"twin of {DOG}_02 ("),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    (folder / "other.tar").write_bytes(tar_bytes([("inner/test.jpg", encode(picture(40)))]))
    return make_dump(folder / "raw.tar", classes())


def run(raw, folder, kinds=ALL, *options):
    against = ("--against", raw.parent / "other.tar") if "against" in kinds else ()
    command = ("run", raw, folder / "work", folder / "out", *OPTIONS, "--drop-duplicates", kinds, *against, *options)
    return call(*command)


def splits(out):
    return {row["key"]: row["split"] for row in pq.read_table(out / "samples.parquet").to_pylist()}


def rejects(out):
    return {row["name"]: row for row in pq.read_table(out / "rejects.parquet").to_pylist()}


@pytest.fixture(scope="module")
def cleaned(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cleaned")
    return folder, run(raw, folder)


def test_copies_go_with_a_row_that_names_the_twin(cleaned):
    folder, summary = cleaned
    found = rejects(folder / "out")
    assert set(found) == set(GONE)
    for name, (reason, detail) in GONE.items():
        assert (found[name]["stage"], found[name]["reason"]) == ("shard", reason)
        assert found[name]["detail"].startswith(detail)
        assert "mirrored" in found[name]["detail"]
    assert summary["rejected_shard"] == len(GONE)
    assert summary["images_kept"] == summary["train"] + summary["val"] + summary["rejected_shard"]
    assert call("verify", folder / "out", "--deep")["sound"]


def test_val_stays_at_its_number_and_as_it_was_held_out(cleaned):
    found = splits(cleaned[0] / "out")
    assert {key for key in found if found[key] == "val"} == {
        *(f"{DOG}_{number:02}" for number in (0, 2, 3)),  # 01 went, so the next by rank takes its place
        *(f"{COW}_{number:02}" for number in (0, 1, 2)),
    }
    assert found[f"{COW}_06"] == "train"


@pytest.mark.parametrize("kinds", ["within-class", "train-val", "against", "train-val,within-class"])
def test_each_kind_drops_its_own(raw, cleaned, tmp_path, kinds):
    work = shutil.copytree(cleaned[0] / "work", tmp_path / "work")
    against = ("--against", raw.parent / "other.tar") if "against" in kinds else ()
    call("shard", work, tmp_path / "out", "--samples-per-shard", 5, "--drop-duplicates", kinds, *against)
    reasons = {name: reason for name, (reason, _) in GONE.items() if reason.removeprefix("duplicate-") in kinds}
    assert {name: row["reason"] for name, row in rejects(tmp_path / "out").items()} == reasons
    assert call("verify", tmp_path / "out")["sound"]


def test_without_dropping_nothing_changes(raw, cleaned, tmp_path):
    call("shard", cleaned[0] / "work", tmp_path / "out", "--samples-per-shard", 5, "--workers", 1)
    assert len(splits(tmp_path / "out")) == 20
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert not any(word in manifest for word in ("drop_duplicates", "distance", "against", "rejected_shard"))


def test_the_parts_do_not_matter(raw, cleaned, tmp_path):
    run(raw, tmp_path, ALL, "--memory", "1MiB")
    assert digests(tmp_path / "out") == digests(cleaned[0] / "out")


def test_a_mixed_dump_drops_the_same(raw, cleaned, tmp_path):
    hub = hub_shards(tmp_path / "hub", classes())
    shutil.copy(raw.parent / "other.tar", tmp_path)
    run(hub, tmp_path)
    assert splits(tmp_path / "out") == splits(cleaned[0] / "out")
    reasons = sorted(row["reason"] for row in rejects(tmp_path / "out").values())
    assert reasons == sorted(reason for reason, _ in GONE.values())


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", ["manifest.json", "begun.json", "train-000000.json"])
def test_a_stopped_run_goes_on_to_the_same_bytes(raw, cleaned, tmp_path, monkeypatch, name):
    def stop(location: Location, content: bytes) -> None:
        write(location, content)
        if location.name == name:
            raise StoppedError

    write = Location.write_bytes
    with monkeypatch.context() as patched:
        patched.setattr(Location, "write_bytes", stop)
        with pytest.raises(StoppedError):
            run(raw, tmp_path)
    run(raw, tmp_path)
    assert digests(tmp_path / "out") == digests(cleaned[0] / "out")


@pytest.mark.guard
def test_killed_runs_with_any_workers_give_the_same_bytes(raw, cleaned, tmp_path):
    chance, kills = random.Random(0), 0
    for number in range(2):
        folder = tmp_path / str(number)
        options = (*OPTIONS[:-1], 1 + number % 2, "--drop-duplicates", ALL, "--against", raw.parent / "other.tar")
        while not run_and_kill(("run", raw, folder / "work", folder / "out", *options), folder, chance):
            kills += 1
        assert digests(folder / "out") == digests(cleaned[0] / "out")
    assert kills


def test_repair_needs_no_other_sets(cleaned, tmp_path):
    out = shutil.copytree(cleaned[0] / "out", tmp_path / "out")
    for name in ("samples.parquet", "rejects.parquet", "classes.parquet", "train/in21k-train-000001.tar"):
        (out / name).write_bytes(b"damaged")
    call("repair", cleaned[0] / "work", out)
    assert digests(out) == digests(cleaned[0] / "out")
    (out / "manifest.json").write_bytes(b"{}")
    call("repair", cleaned[0] / "work", out)
    assert digests(out) == digests(cleaned[0] / "out")


@pytest.fixture
def work(cleaned, tmp_path):
    return shutil.copytree(cleaned[0] / "work", tmp_path / "work")


def refused(command, *arguments):
    with pytest.raises(RefusedError) as error:
        call(command, *arguments)
    return str(error.value)


def test_other_drops_are_another_dataset(cleaned, tmp_path):
    out = shutil.copytree(cleaned[0] / "out", tmp_path / "out")
    options = ("--samples-per-shard", 5, "--drop-duplicates", "within-class")
    assert "by shard with drop_duplicates" in refused("shard", cleaned[0] / "work", out, *options)


def test_images_of_an_older_version_have_no_hashes(work, tmp_path):
    path = next((work / "parts").glob("part-*[0-9].parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["phash", "crop_phashes", "file_digest"]), path)
    line = refused("shard", work, tmp_path / "out", "--drop-duplicates", "within-class", "--workers", 1)
    assert "have no hashes, since an older version resized them" in line


@pytest.mark.parametrize("damage", [b"damaged", None])
def test_what_was_settled_and_is_damaged_is_one_line(cleaned, work, tmp_path, damage):
    out = shutil.copytree(cleaned[0] / "out", tmp_path / "out")
    (out / "rejects.parquet").unlink()
    for path in work.glob("dropped-*.parquet"):
        path.unlink() if damage is None else path.write_bytes(damage)
    line = refused("repair", work, out)
    assert "dropped-" in line
    assert ("is gone" in line) == (damage is None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--drop-duplicates", "within"),
            "--drop-duplicates within: give one or more of within-class, train-val, agai",
        ),
        (("--drop-duplicates", "against"), "--drop-duplicates against and --against SET go together"),
        (("--against", "."), "--drop-duplicates against and --against SET go together"),
        (("--drop-duplicates", "train-val", "--distance", 13), "--distance 13: give 0 to 12 bits"),
        (("--drop-duplicates", "against", "--against", "nowhere"), "nowhere holds no images"),
    ],
)
def test_wrong_options_are_refused_before_any_work(raw, tmp_path, options, message):
    assert message in refused("run", raw, tmp_path / "work", tmp_path / "out", *options)
    assert not (tmp_path / "work").exists()


def test_a_class_of_copies_alone_keeps_one(tmp_path):
    same = encode(picture(1))
    dogs = [(f"{DOG}_{number}.JPEG", same) for number in range(6)]
    make_dump(tmp_path / "raw.tar", {DOG: dogs, COW: images_of(COW, 8, SIZE)})
    summary = run(tmp_path / "raw.tar", tmp_path, "within-class")
    assert [key for key in splits(tmp_path / "out") if key.startswith(DOG)] == [f"{DOG}_0"]
    assert summary["classes_short_of_val"] == 1
    assert call("verify", tmp_path / "out")["sound"]
