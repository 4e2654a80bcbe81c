"""WordNet 3.0's nouns: the packaged table, and the command that builds it from a WordNet folder with nltk.

python -m in21k.tree.wordnet /usr/share/wordnet tree/data/wordnet30-nouns.parquet
"""

import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

SYNSETS = 82_115
"""The number of noun synsets in WordNet 3.0."""

WORDNET_SOURCE = "WordNet 3.0"
"""What tables call it."""

TABLE = "wordnet30-nouns.parquet"
SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("lemmas", pa.list_(pa.string()), nullable=False),
        pa.field("hypernyms", pa.list_(pa.string()), nullable=False),
        pa.field("instance_hypernyms", pa.list_(pa.string()), nullable=False),
        pa.field("gloss", pa.string(), nullable=False),
    ],
    metadata={"source": "WordNet 3.0, noun synsets"},
)

# Debian's WordNet folder lacks the list of lexicographer files, which nltk reads first. Only its line count matters for
# nouns; the names are from WordNet's manual page lexnames(5WN).
_LEXICOGRAPHER_FILES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
).split()


@dataclass(frozen=True, slots=True)
class Synset:
    """A noun synset of WordNet 3.0."""

    wnid: str
    """`n` and the eight-digit offset of the synset in WordNet 3.0's noun file."""
    lemmas: tuple[str, ...]
    """The synset's words, most frequent first, with spaces."""
    hypernyms: tuple[str, ...]
    """The wnids of its hypernyms, in WordNet's order."""
    instance_hypernyms: tuple[str, ...]
    """The wnids of what it is an instance of; these do not count as parents in the hierarchy."""
    gloss: str
    """What it means: a definition, and perhaps examples, as WordNet's noun file has them."""

    @property
    def name(self) -> str:
        """The first lemma."""
        return self.lemmas[0]


@cache
def load_wordnet() -> Mapping[str, Synset]:
    """Return WordNet 3.0's 82,115 noun synsets by wnid, from the packaged table."""
    import pyarrow.parquet as pq  # here, so that the help of commands need not wait for it

    with resources.files("in21k.tree.data").joinpath(TABLE).open("rb") as file:
        return _Nouns(pq.read_table(file))


class _Nouns(Mapping[str, Synset]):
    """The packaged table by wnid. Synsets are created on access, since creating all of them takes a second."""

    def __init__(self, table: pa.Table) -> None:
        self._rows = {wnid: row for row, wnid in enumerate(table["wnid"].to_pylist())}
        self._columns = [_Lists(table[name]) for name in ("lemmas", "hypernyms", "instance_hypernyms")]
        self._glosses = table["gloss"].combine_chunks()

    def __getitem__(self, wnid: str) -> Synset:
        row = self._rows[wnid]
        lemmas, hypernyms, instance_hypernyms = (column[row] for column in self._columns)
        return Synset(wnid, lemmas, hypernyms, instance_hypernyms, self._glosses[row].as_py())

    def __contains__(self, wnid: object) -> bool:
        return wnid in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class _Lists:
    """A column of lists of strings."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks()
        self._starts: list[int] = lists.offsets.to_pylist()
        self._values: list[str] = lists.values.to_pylist()

    def __getitem__(self, row: int) -> tuple[str, ...]:
        return tuple(self._values[self._starts[row] : self._starts[row + 1]])


def read_wordnet_folder(folder: Path) -> Iterator[Synset]:
    """Yield the noun synsets of a WordNet 3.0 database folder (`data.noun`, `index.noun`, …) in order of wnid.

    Raises:
        OSError: a database file is missing.
    """
    for synset in sorted(_reader(folder).all_synsets("n"), key=lambda synset: int(synset.offset())):
        yield Synset(
            wnid=_wnid(synset),
            lemmas=tuple(name.replace("_", " ") for name in synset.lemma_names()),
            hypernyms=tuple(map(_wnid, synset.hypernyms())),
            instance_hypernyms=tuple(map(_wnid, synset.instance_hypernyms())),
            gloss=synset.gloss,
        )


def write_wordnet_table(folder: Path, output: Path) -> int:
    """Write the packaged table from a WordNet 3.0 folder and return the number of synsets.

    Raises:
        ValueError: the folder does not contain WordNet 3.0.
    """
    import pyarrow.parquet as pq

    synsets = list(read_wordnet_folder(folder))
    if len(synsets) != SYNSETS:
        raise ValueError(f"{folder} has {len(synsets)} noun synsets; WordNet 3.0 has {SYNSETS}")
    columns = {field.name: [getattr(synset, field.name) for synset in synsets] for field in SCHEMA}
    temporary = output.with_name(f".{output.name}.tmp")
    table = pa.table(columns, schema=SCHEMA)  # without dictionaries it is smaller: most of it is glosses, no two alike
    pq.write_table(table, temporary, compression="zstd", compression_level=19, use_dictionary=False)
    temporary.replace(output)
    return len(synsets)


def _reader(folder: Path) -> Any:
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if str(folder) not in nltk.data.path:  # nltk only opens files below its search path
        nltk.data.path.append(str(folder))

    class NounReader(WordNetCorpusReader):  # type: ignore[misc]
        def open(self, file: str) -> Any:
            if file == "lexnames" and not (folder / file).exists():
                return io.StringIO("".join(f"{i:02d}\t{name}\t0\n" for i, name in enumerate(_LEXICOGRAPHER_FILES)))
            return super().open(file)

        def _synset_from_pos_and_line(self, pos: str, line: str) -> Any:
            # nltk keeps a synset's pointers in a set, whose order varies between runs; the line has WordNet's order.
            synset = super()._synset_from_pos_and_line(pos, line)
            synset.gloss = line.partition(" | ")[2].strip()
            for symbol, targets in synset._pointers.items():
                position = {target: line.index(f" {symbol} {target[1]:08d} {target[0]} ") for target in targets}
                synset._pointers[symbol] = sorted(targets, key=position.__getitem__)
            return synset

        def map_wn(self, version: str = "wordnet") -> None:  # noqa: ARG002 - between versions, for other languages
            return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk warns that other languages are missing
        return NounReader(nltk.data.FileSystemPathPointer(str(folder)), None)


def _wnid(synset: Any) -> str:
    return f"n{synset.offset():08d}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.stdout.write(f"{write_wordnet_table(Path(sys.argv[1]), Path(sys.argv[2]))} synsets\n")
