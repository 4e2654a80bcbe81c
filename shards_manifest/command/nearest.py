"""What a mistyped name may have meant: the two known names that are most like it."""

import difflib
from collections.abc import Iterable

MOST = 2
"""Names that a suggestion has."""

LISTED = 5
"""Choices up to which an error names them all, nearest or not."""

_LEAST = 0.6
"""Likeness from which on a name is suggested, 0 to 1, as difflib counts it: twice the letters in common over all."""

_BEGINS, _HOLDS = 0.9, 0.7
"""The least likeness of a name that begins as the mistyped one does, and of one that holds it."""

_SWAPPED = 0.95
"""The likeness of a name that two neighboring letters make of the mistyped one, once they change places."""

_BETWEEN = str.maketrans("", "", "-_/. ")
"""Marks between words, which do not count; case does not, either."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names most like a mistyped one, the most like first, two at most; none if none is like it.

    Of names that differ in case or in marks between words alone, the first counts.
    """
    by_letters: dict[str, str] = {}
    for each in known:
        by_letters.setdefault(_letters(each), each)
    matcher = difflib.SequenceMatcher(autojunk=False)
    wanted = _letters(name)
    matcher.set_seq2(wanted)
    scored = [
        (_likeness(matcher, wanted, letters), -len(letters), each) for letters, each in by_letters.items() if letters
    ]
    found = sorted((row for row in scored if row[0] >= _LEAST), key=lambda row: row[:2], reverse=True)
    return [each for _, _, each in found[:MOST]]


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question that ends an error about a mistyped name; another ending where nothing is like it."""
    found = nearest(name, known)
    return f"did you mean {' or '.join(found)}?" if found else otherwise


def _letters(name: str) -> str:
    return name.casefold().translate(_BETWEEN)


def _likeness(matcher: "difflib.SequenceMatcher[str]", wanted: str, known: str) -> float:
    """Return how like a known name is to the one that is wanted, the matcher's second, 0 to 1; 0 if too little."""
    least = (_BEGINS if known.startswith(wanted) else _HOLDS if wanted in known else 0.0) if len(wanted) > 2 else 0.0
    if _is_swapped(wanted, known):
        least = _SWAPPED
    matcher.set_seq1(known)
    if least or (matcher.real_quick_ratio() >= _LEAST and matcher.quick_ratio() >= _LEAST):
        return max(matcher.ratio(), least)
    return 0.0


def _is_swapped(wanted: str, known: str) -> bool:
    """Return whether two neighboring letters that change places make one name of the other."""
    if len(wanted) != len(known) or wanted == known:
        return False
    at = next(place for place, (one, other) in enumerate(zip(wanted, known, strict=True)) if one != other)
    return wanted[at : at + 2] == known[at : at + 2][::-1] and wanted[at + 2 :] == known[at + 2 :]
