"""What the classes of a hierarchy are called, and which of them a name means."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from in21k.tree.errors import NoSuchClassError
from in21k.tree.glosses import definition

SEPARATOR = " > "
"""What stands between the names of a path, wherever one is written out."""

_SHOWN = 8
"""How many candidates an error lists."""


@dataclass(frozen=True, slots=True)
class ClassWords:
    """What C classes are called, in order of class index."""

    names: Sequence[str]
    """[C]: the name of each class, which other classes may share."""
    lemmas: Sequence[Sequence[str]]
    """[C]: all words for each class, its name included."""
    glosses: Sequence[str | None] = ()
    """[C]: what each class is, where that is known; empty where it is known of none."""

    @property
    def sharing(self) -> int:
        """How many classes share their name with another one."""
        return sum(count for count in Counter(self.names).values() if count > 1)

    def gloss(self, index: int) -> str | None:
        """Return what a class is, None where that is not known."""
        return self.glosses[index] if self.glosses else None


def find_class(named: str, wnids: Sequence[str], words: ClassWords | None) -> int:
    """Return the index of the only class that is called so, as `classes_called` finds it.

    Raises:
        NoSuchClassError: there is no such class, and the message has the nearest ones; or there are several, and it has
            those.
    """
    found = classes_called(named, wnids, words)
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchClassError(
            f"{named!r} names {len(found)} classes: {candidates(found, wnids, words)}; give the wnid"
        )
    near = _nearest(named, [*wnids, *(words.names if words else ())])
    meant = f"; the nearest are {near}" if near else ""
    what = "wnid or name" if words else "wnid (this hierarchy knows no names)"
    raise NoSuchClassError(f"no class has the {what} {named[:80]!r}{meant}")


def classes_called(named: str, wnids: Sequence[str], words: ClassWords | None) -> list[int]:
    """Return the indices of the classes with a wnid; of none, those with a name; of none, those with a lemma.

    Args:
        named: what is looked for; in names, its case does not count, nor does `_` for a blank.
        wnids: of C classes, in order of class index.
        words: what they are called, if that is known.
    """
    if named in wnids:
        return [wnids.index(named)]
    if words is None:
        return []
    wanted = _folded(named)
    found = [at for at, name in enumerate(words.names) if _folded(name) == wanted]
    return found or [at for at, lemmas in enumerate(words.lemmas) if wanted in map(_folded, lemmas)]


def candidates(found: Sequence[int], wnids: Sequence[str], words: ClassWords | None) -> str:
    """Return classes for a message, by wnid and what each one is: `n02012849 (large long-necked wading bird)`."""
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*(_described(at, wnids[at], words) for at in found[:_SHOWN]), *more])


def _described(index: int, wnid: str, words: ClassWords | None) -> str:
    gloss = words.gloss(index) if words else None
    return f"{wnid} ({definition(gloss)})" if gloss else wnid


def _nearest(named: str, known: Iterable[str]) -> str:
    """Return the two nearest of the known names, each as in the message; empty if none is near."""
    spelled = {_folded(name): name for name in known}
    return " and ".join(repr(spelled[near]) for near in get_close_matches(_folded(named), spelled, n=2))


def _folded(name: str) -> str:
    return name.casefold().replace("_", " ").strip()
