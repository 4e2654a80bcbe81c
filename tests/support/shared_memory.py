"""Commands that see a /dev/shm of a given size, as in a container, in a mount namespace of their own."""

import subprocess

import pytest

_SCRIPT = 'mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@"'


def with_shared_memory(size: str, *command: object) -> list[str]:
    """Return a command that runs another with a /dev/shm of this size; skip the test where the system forbids it."""
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", _SCRIPT, size]
    try:
        allowed = subprocess.run([*before, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this system gives no mount namespace")
    return [*before, *map(str, command)]
