#!/bin/sh
# Makes a virtual environment with the locked packages, or brings one up to date. `make setup` calls it:
#
#     sh scripts/setup.sh FOLDER [LOCK]
#
# LOCK names the packages; without it, they are those of requirements/lock.txt and an imaging backend.
# PYTHON names the interpreter; by default it is the newest of python3.14 to python3.11 and python3 that serves.
set -eu

venv=$1
lock=${2:-}
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

# The same, for many packages: says how far it has come. On a terminal that is a line that changes; in a log, a line for
# each large package and for every twentieth. What pip has to complain of is said if it fails.
install_lock() {
    count=$(grep -c '^[A-Za-z0-9].*==' "$1")
    wrong=$(mktemp)
    {
        PYTHONUNBUFFERED=1 "$python" -m pip --disable-pip-version-check --no-color install --progress-bar off \
            --no-deps --require-hashes -r "$1" 2>"$wrong" && rm "$wrong"
    } | told "$count"
    if [ -e "$wrong" ]; then
        cat "$wrong" >&2
        rm "$wrong"
        fail "pip could not install the packages of $1"
    fi
}

# Reads what pip says of so many packages, and says what a user wants to know of it.
told() {
    at=0
    while IFS= read -r line; do
        case $line in
        *.metadata\ *) ;;
        *"Requirement already satisfied"* | "Ignoring "*) at=$((at + 1)) ;;
        "  Downloading "* | "  Using cached "*)
            at=$((at + 1))
            size=${line##*\(}
            file=${line% \(*}
            file=${file##*[ /]}
            progress "$at of $1: ${file%%-*} (${size%)})" "$size"
            ;;
        "Processing "*)
            at=$((at + 1))
            file=${line%% (from *}
            file=${file##*/}
            progress "$at of $1: ${file%%-*}" small
            ;;
        "Installing collected packages"*) progress "unpacking them, of which pip says nothing" all ;;
        esac
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# Says a line of progress: over the last one on a terminal, and otherwise where it is of a large file or a round number.
progress() {
    if [ -t 1 ]; then
        printf '\r\033[Ksetup: %s' "$1"
        return
    fi
    case $2 in
    all | [1-9][0-9][0-9]*\ MB\)) say "$1" ;;
    *) [ $((at % 20)) != 0 ] || say "$1" ;;
    esac
}

version_of() {
    "$python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$1" 2>/dev/null
}

# Compiles the C program on standard input for x86 with SSE4 and links it with the given libraries.
links() {
    compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    folder=$(mktemp -d)
    cat >"$folder/probe.c"
    # The compiler may hold flags, as in "gcc -pthread", hence no quotes.
    if $compiler -msse4 "-I$include" "$folder/probe.c" -o "$folder/probe" "$@" >/dev/null 2>&1; then
        found=0
    else
        found=1
    fi
    rm -rf "$folder"
    return $found
}

# What pillow-simd does not go without: Python's headers, libjpeg's and zlib's.
can_build_pillow_simd() {
    links -ljpeg -lz <<'EOF'
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
}

# What it leaves out without a word where it is missing.
can_build_webp() {
    links -lwebp -lwebpmux -lwebpdemux <<'EOF'
#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>
int main(void) {
    return WebPGetDecoderVersion() == 0 || WebPGetEncoderVersion() == 0 || WebPGetMuxVersion() == 0 ||
           WebPGetDemuxVersion() == 0;
}
EOF
}

has_webp() {
    "$python" -c 'import sys; from PIL import features; sys.exit(not features.check("webp"))' >/dev/null 2>&1
}

# One that was built before WebP's headers came is built again.
has_pillow_simd() {
    version=$(version_of pillow-simd) && grep -q "^pillow-simd==$version " requirements/pillow-simd.txt &&
        { has_webp || ! can_build_webp; }
}

# Past pip's cache: it may hold a build that was made without WebP, and does not tell them apart.
build_pillow_simd() {
    say "building pillow-simd from source (under a minute)"
    "$python" -m pip -qq uninstall --yes pillow >/dev/null 2>&1 || true
    mkdir -p build
    webp=disable
    ! can_build_webp || webp=enable
    install --no-cache-dir --force-reinstall --no-build-isolation --config-settings "webp=$webp" \
        -r requirements/pillow-simd.txt >build/pillow-simd.log 2>&1 && return
    say "pillow-simd did not build, see build/pillow-simd.log"
    return 1
}

install_imaging() {
    if ! has_pillow_simd && { ! can_build_pillow_simd || ! build_pillow_simd; }; then
        "$python" -m pip -qq uninstall --yes pillow-simd >/dev/null 2>&1 || true
        install -r requirements/pillow.txt
        say "stock Pillow, which prepares images at about 0.6 of the speed of pillow-simd; to change that on x86:" \
            "apt-get install gcc libjpeg-dev libwebp-dev zlib1g-dev python3-dev, then make -B setup"
    fi
    has_webp || say "pillow-simd without WebP, which OpenCV reads and writes instead; to have it in pillow-simd:" \
        "apt-get install libwebp-dev, then make -B setup"
}

if ! usable "$python" || ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(find_python)
    say "making $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv"
fi
if [ -n "$lock" ]; then
    say "installing the packages of $lock into $venv"
    install_lock "$lock"
    exit
fi
say "installing the locked packages (minutes at first: PyTorch with CUDA is 6 GB)"
install_lock requirements/lock.txt
install_imaging
