#!/bin/sh
# Virtual environment, locked dependencies and the `daogou` command, under .venv (安装).
# Does nothing when requirements.lock and pyproject.toml are the ones already installed.
set -eu
cd "$(dirname "$0")"

stamp=.venv/.installed
wanted=$(cat requirements.lock pyproject.toml | cksum; pwd)
if [ -x .venv/bin/daogou ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

fail() {
    echo "setup: $*" >&2
    exit 1
}

if ! .venv/bin/python -c '' 2>/dev/null; then
    python=
    # 3.11 and 3.12 first: for them there is an embedded Redis.
    for name in ${PYTHON:-} python3.11 python3.12 python3 python3.13 python3.14; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11 or newer is needed (set PYTHON to its path)"
    echo "setup: making .venv with $python"
    "$python" -m venv --clear .venv >/dev/null 2>&1 ||
        fail "$python cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
fi

pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip"
echo "setup: installing the locked dependencies"

# uv is several times faster than pip. Its own pinned, hashed lines come first; pip is enough without.
if [ ! -x .venv/bin/uv ]; then
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >.venv/uv.lock
    $pip install --quiet --require-hashes --no-deps -r .venv/uv.lock 2>/dev/null || true
fi
index=$($pip config get global.index-url 2>/dev/null || true)
if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    # uv does not read pip's configuration; a mirror set there must be used all the same.
    UV_DEFAULT_INDEX=$index
    export UV_DEFAULT_INDEX
fi
if ! { [ -x .venv/bin/uv ] && .venv/bin/uv pip install --quiet --python .venv/bin/python \
    --require-hashes -r requirements.lock; }; then
    $pip install --quiet --require-hashes -r requirements.lock ||
        fail "the dependencies cannot be installed"
fi

$pip install --quiet --no-deps --no-build-isolation -e . || fail "daogou itself cannot be installed"
printf '%s\n' "$wanted" >"$stamp"
