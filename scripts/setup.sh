#!/bin/sh
# Makes the virtual environment $1, and installs the dependencies locked in $2 and the project into it.
set -eu
venv=$1
lock=$2

usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

if [ ! -x "$venv/bin/python" ] || ! usable "$venv/bin/python"; then
    rm -rf "$venv"
    made=
    if command -v uv >/dev/null 2>&1 && uv venv --quiet --seed "$venv"; then
        made=uv
    else
        for candidate in python3.13 python3.12 python3; do
            if usable "$candidate"; then
                "$candidate" -m venv "$venv"
                made=$candidate
                break
            fi
        done
    fi
    if [ -z "$made" ]; then
        echo "tokenomics needs Python 3.12 or later, and found none." >&2
        echo "Install uv (it brings its own Python), or python3.13, and run make again." >&2
        exit 1
    fi
    echo "made $venv with $made"
fi

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
