#!/bin/sh
# Makes a virtual environment with the locked packages, or brings one up to date. `make setup` calls it:
#
#     sh scripts/setup.sh FOLDER
#
# PYTHON names the interpreter; by default it is the newest of python3.14 to python3.11 and python3 that serves.
set -eu

venv=$1
python=$venv/bin/python

say() {
    echo "setup: $*"
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or later with the modules venv and ensurepip"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or later with venv found: apt-get install python3 python3-venv (from Debian 12 or Ubuntu 24.04 on), or name one: make setup PYTHON=…"
}

# Every package comes from the lock, dependencies included, hence --no-deps. It is also what keeps pip from installing
# Pillow over pillow-simd: torchvision asks for Pillow by name, and pip would overwrite the one with the other.
install() {
    "$python" -m pip -qq --disable-pip-version-check install --no-deps --require-hashes "$@"
}

installed() {
    "$python" -c 'import sys; from importlib.metadata import version; version(sys.argv[1])' "$1" >/dev/null 2>&1
}

# Compiles and links what pillow-simd needs: x86 with SSE4, Python's headers, libjpeg's and zlib's.
can_build_pillow_simd() {
    compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    folder=$(mktemp -d)
    cat >"$folder/probe.c" <<'EOF'
#include <Python.h>
#include <stdio.h>
#include <jpeglib.h>
#include <smmintrin.h>
#include <zlib.h>
int main(void) {
    struct jpeg_error_mgr errors;
    return jpeg_std_error(&errors) == NULL || zlibVersion() == NULL;
}
EOF
    # The compiler may hold flags, as in "gcc -pthread", hence no quotes.
    if $compiler -msse4 "-I$include" "$folder/probe.c" -o "$folder/probe" -ljpeg -lz >/dev/null 2>&1; then
        found=0
    else
        found=1
    fi
    rm -rf "$folder"
    return $found
}

build_pillow_simd() {
    say "building pillow-simd from source (under a minute)"
    "$python" -m pip -qq uninstall --yes pillow >/dev/null 2>&1 || true
    mkdir -p build
    install --no-build-isolation -r requirements/pillow-simd.txt >build/pillow-simd.log 2>&1 && return
    say "pillow-simd did not build, see build/pillow-simd.log"
    return 1
}

install_imaging() {
    if installed pillow-simd; then
        install --no-build-isolation -r requirements/pillow-simd.txt
    elif ! can_build_pillow_simd || ! build_pillow_simd; then
        install -r requirements/pillow.txt
        say "stock Pillow, which prepares images at about 0.6 of the speed of pillow-simd; to change that on x86:" \
            "apt-get install gcc libjpeg-dev zlib1g-dev python3-dev, then make -B setup"
    fi
}

if ! usable "$python" || ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(find_python)
    say "making $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv"
fi
say "installing the locked packages (minutes at first: PyTorch with CUDA is 6 GB)"
install -r requirements/lock.txt
install_imaging
