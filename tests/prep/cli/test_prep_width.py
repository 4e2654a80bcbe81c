"""How wide a summary is: as the terminal allows, and in a pipe always the same."""

from commands import PREP, prep
from spoken import on_terminal

ASKED = ("env", "-u", "COLUMNS")
"""The terminal itself is asked; readline, in this process, leaves a variable that would answer."""


def test_text_is_as_wide_as_the_terminal_and_the_same_in_a_pipe(dataset):
    command = ("inspect", dataset.out, "--class", "dog")
    piped = prep(*command).stdout.splitlines()
    wide, narrow = (on_terminal(*ASKED, *PREP, *command, columns=columns).splitlines() for columns in (300, 70))
    assert wide == piped
    assert max(map(len, piped)) > 70 >= max(map(len, narrow))
    assert " ".join(narrow).split() == " ".join(piped).split(), "nothing is cut, and nothing added"
