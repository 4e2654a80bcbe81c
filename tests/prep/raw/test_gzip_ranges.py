import gzip
import random

from in21k.prep.raw.gzip_ranges import GzipRanges, open_archive_file
from in21k.shards_manifest.storage.location import locate


def test_progress_is_counted_in_compressed_bytes(tmp_path):
    raw = tmp_path / "raw.tar.gz"
    raw.write_bytes(gzip.compress(random.Random(0).randbytes(3 << 20)))
    reader = GzipRanges(locate(raw), locate(tmp_path / "index"))
    assert reader.compressed_position() < 100
    assert len(reader.read(0, 4 << 20)) == 3 << 20
    assert raw.stat().st_size - 100 < reader.compressed_position() <= raw.stat().st_size
    reader.close()


def test_the_index_of_a_gzipped_file_in_a_dump_has_the_name_that_older_versions_gave_it(tmp_path):
    (tmp_path / "n01.tar.gz").write_bytes(gzip.compress(bytes(5)))
    reader = open_archive_file(locate(tmp_path), "n01.tar.gz", locate(tmp_path / "work"))
    assert reader.read(0, 9) == bytes(5)
    reader.save_index()
    reader.close()
    (index,) = (tmp_path / "work").rglob("*.gzindex")
    assert index.parent.name == "gzindex"
    assert index.name == "218c676232331721e8a1d566c11718ad.raw.gzindex"
