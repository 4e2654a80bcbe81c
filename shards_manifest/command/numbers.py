"""Numbers as people read them: counts with separators, sizes in GB, times in hours and minutes, shares in percent."""

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def count_text(count: float) -> str:
    """Return a count with its thousands separated: `1,234,567`."""
    return f"{count:,.0f}"


def counted(count: int, what: str) -> str:
    """Return a number of things, given the name of one: `1 image`, `1,234 images`, `2 classes`."""
    return f"{count_text(count)} {what if count == 1 else plural(what)}"


def plural(what: str) -> str:
    """Return the name of several things, given that of one."""
    if what.endswith("y"):
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith(("s", "x")) else f"{what}s"


def bytes_text(size: float) -> str:
    """Return a number of bytes in powers of 1,000, with two figures at least: `1.1 GB`, `646 GB`."""
    amount, at = float(size), 0
    while at + 1 < len(_SIZES) and amount >= (999.5 if at else 1000):
        amount, at = amount / 1000, at + 1
    unit = "byte" if size == 1 else _SIZES[at]
    return f"{amount:.1f} {unit}" if at and amount < 9.95 else f"{amount:,.0f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a duration in its two largest units: `0.4 s`, `13 s`, `5 min 20 s`, `2 h 13 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if (whole := round(seconds)) < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if (minutes := round(seconds / _MINUTE) * _MINUTE) < 2 * _DAY:
        return _two(minutes, _HOUR, "h", _MINUTE, "min")
    return _two(round(seconds / _HOUR) * _HOUR, _DAY, "d", _HOUR, "h")


def share_text(share: float) -> str:
    """Return a share of 0 to 1 in percent: `81.2%`."""
    return f"{100 * share:.1f}%"


def points_text(gain: float) -> str:
    """Return the difference of two shares in percentage points, with its sign: `+41.1`."""
    return f"{100 * gain:+.1f}"


def score_text(score: float) -> str:
    """Return a number such as a loss or a distance, with four figures: `3.142`, `0.0003`."""
    if score == 0 or 1e-4 <= abs(score) < 1e4:
        return f"{score:.4g}"
    return f"{score:,.0f}" if abs(score) < 1e9 and abs(score) >= 1 else f"{score:.3e}"


def rate_text(rate: float) -> str:
    """Return a number per second: `1,234`, and below 100 with one decimal: `12.3`."""
    return f"{rate:,.0f}" if rate >= 99.95 else f"{rate:.1f}"


def _two(amount: int, large: int, large_name: str, small: int, small_name: str) -> str:
    """Return whole units of two sizes; the small one is left out where there is none of it."""
    rest = amount % large // small
    return f"{amount // large} {large_name}" + (f" {rest} {small_name}" if rest else "")
