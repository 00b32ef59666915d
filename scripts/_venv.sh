# Shared by the scripts beside this file: a virtual environment on any machine with Python >= 3.11.
# Debian's Python comes without venv and pip, which is why this is more than one line.

. "$root/scripts/_packages.sh"

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer, and found none on PATH"
}

# install_venv_module PYTHON: only Debian and its kin have Python without that module.
install_venv_module() {
    local package
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null || fail "$1 cannot make virtual environments: install its modules venv and ensurepip"
    install_package "$package" || exit 1
}

# make_venv FOLDER: makes it, or keeps the one that works.
make_venv() {
    local python
    "$1/bin/python" -c '' 2>/dev/null && return
    rm -rf "$1"
    python=$(find_python)
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$python" "$1" && return
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_module "$python"
    "$python" -m venv "$1" || { rm -rf "$1"; fail "$python could not make a virtual environment in $1"; }
}

# install_once FOLDER STAMP ARGUMENT…: pip install, unless it was done for the same stamp before.
install_once() {
    local venv=$1 stamp=$2 made=$1/.mageflow-installed
    shift 2
    [ "$(cat "$made" 2>/dev/null)" = "$stamp" ] && return
    if "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    else
        uv pip install --quiet --python "$venv/bin/python" "$@"
    fi || fail "could not install into $venv: see above; is a package index reachable?"
    printf '%s' "$stamp" >"$made"
}
