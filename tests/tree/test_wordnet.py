from importlib import resources
from pathlib import Path

import pytest

from in21k.tree.wordnet import SYNSETS, TABLE, load_wordnet, read_wordnet_folder, write_wordnet_table

FOLDER = Path("/usr/share/wordnet")
needs_wordnet = pytest.mark.skipif(not (FOLDER / "data.noun").exists(), reason="no WordNet folder on this machine")


def parse_data_noun(path):
    """Yield wnid, lemmas, hypernyms, instance hypernyms and gloss from each line of the file, as in wndb(5WN)."""
    with path.open(encoding="ascii") as file:
        for line in file:
            if line.startswith("  "):
                continue  # license
            fields = line.split(" | ")[0].split()
            words = int(fields[3], 16)
            lemmas = [word.replace("_", " ") for word in fields[4 : 4 + 2 * words : 2]]
            pointers = fields[5 + 2 * words :]
            above = {"@": [], "@i": []}
            for symbol, offset in zip(pointers[::4], pointers[1::4], strict=False):
                if symbol in above:
                    above[symbol].append(f"n{offset}")
            yield f"n{fields[0]}", lemmas, above["@"], above["@i"], line.split("|")[1].strip()


def test_the_packaged_table_has_all_nouns_and_every_edge_leads_to_one():
    wordnet = load_wordnet()
    assert len(wordnet) == SYNSETS
    assert all(up in wordnet for synset in wordnet.values() for up in (*synset.hypernyms, *synset.instance_hypernyms))


def test_entity_is_the_only_root():
    roots = [s.name for s in load_wordnet().values() if not s.hypernyms and not s.instance_hypernyms]
    assert roots == ["entity"]


def test_words_keep_spaces_and_capitals():
    assert load_wordnet()["n02111889"].lemmas == ("Samoyed", "Samoyede")
    assert load_wordnet()["n01317541"].lemmas == ("domestic animal", "domesticated animal")


def test_an_instance_has_no_hypernyms():
    sun = load_wordnet()["n09450163"]
    assert (sun.name, sun.hypernyms) == ("sun", ())
    assert sun.instance_hypernyms


def test_the_package_stays_small():
    with resources.files("in21k.tree.data").joinpath(TABLE).open("rb") as file:
        assert len(file.read()) < 3_000_000


@needs_wordnet
def test_packaged_table_equals_the_noun_file_edge_for_edge_and_gloss_for_gloss():
    wordnet = load_wordnet()
    rows = list(parse_data_noun(FOLDER / "data.noun"))
    assert len(rows) == len(wordnet)
    for wnid, lemmas, hypernyms, instances, gloss in rows:
        synset = wordnet[wnid]
        assert list(synset.hypernyms) == hypernyms
        assert list(synset.instance_hypernyms) == instances
        assert list(synset.lemmas) == lemmas
        assert synset.gloss == gloss


@needs_wordnet
@pytest.mark.slow  # nltk takes ten seconds to open its reader
def test_packaged_table_equals_what_nltk_reads():
    assert list(read_wordnet_folder(FOLDER)) == list(load_wordnet().values())


@pytest.mark.slow  # nltk takes seconds to import
def test_a_folder_without_a_database_writes_nothing(tmp_path):
    (tmp_path / "dict").mkdir()
    with pytest.raises(OSError, match="dict"):
        write_wordnet_table(tmp_path / "dict", tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()
