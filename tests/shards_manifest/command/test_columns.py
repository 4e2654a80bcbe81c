"""Text in columns."""

from in21k.shards_manifest.command.columns import padded, table_lines, width_of, wrapped

HEAD = ("name", "images", "why")
ROWS = [("dog", "1,234", "kept as it is"), ("柴犬", "5", "too few images of it"), ("e\u0301", "12", "")]


def test_wide_letters_take_two_columns_and_combining_marks_none():
    assert [width_of(text) for text in ("dog", "柴犬", "e\u0301", "ｗ")] == [3, 4, 1, 2]
    assert padded("柴犬", 6) == "柴犬  "
    assert padded("柴犬", 6, right=True) == "  柴犬"


def test_columns_align_whatever_the_letters():
    lines = list(table_lines(HEAD, ROWS, right=[1]))
    assert lines == [
        "name  images  why",
        "dog    1,234  kept as it is",
        "柴犬       5  too few images of it",
        "e\u0301         12",
    ]


def test_a_narrow_terminal_wraps_the_last_column_and_cuts_nothing():
    lines = list(table_lines(HEAD, [("dog", "1", "one two three four five six seven")], right=[1], width=34))
    assert lines[1:] == ["dog        1  one two three four", "              five six seven"]
    assert list(table_lines(HEAD, ROWS, width=None)) == list(table_lines(HEAD, ROWS, width=500))


def test_a_long_word_such_as_a_path_stays_whole():
    assert wrapped("see /a/very/long/path here", 10) == ["see", "/a/very/long/path", "here"]


def test_letters_that_move_the_cursor_are_escaped():
    assert list(table_lines((), [("a\x1b[2J", "b\nc")])) == [r"a\x1b[2J  b\nc"]
