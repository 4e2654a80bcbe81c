"""A program that tries many things, each announced by a line: stopped and named when one of them hangs."""

import queue
import subprocess
import threading

import warm
from peaks import peak_of

PATIENCE = 120
"""Seconds without a line after which what was announced last counts as hanging; it takes a tenth of one."""
GROWTH = 400
"""MiB that all of them may add to what the process took before them."""
DONE = "all done\n"


def watch(program: str, *arguments: object) -> None:
    """Run a program that prints DONE at its end; fail with what it announced last if it hangs or does not get there."""
    command = warm.python(program, *arguments)
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: queue.Queue[str] = queue.Queue()
    errors: list[str] = []
    readers = [
        threading.Thread(target=lambda: [*map(lines.put, run.stdout), lines.put("")]),
        threading.Thread(target=lambda: errors.append(run.stderr.read())),
    ]
    for reader in readers:
        reader.start()
    last, line, is_hanging = "nothing", "nothing", False
    try:
        while line:
            last = line
            line = lines.get(timeout=PATIENCE)
    except queue.Empty:
        is_hanging = True
    finally:
        run.kill()
        run.wait()
        for reader in readers:
            reader.join()
    assert not is_hanging, f"{last.strip()} hangs"
    assert last == DONE, f"{last}{errors[0][-3000:]}"


class Growth:
    """A bound on this process's memory from now on."""

    def __init__(self) -> None:
        self._most = peak_of("self") + (GROWTH << 10)

    def check(self) -> None:
        """Fail if it has been passed."""
        assert peak_of("self") < self._most, "it takes too much memory"
