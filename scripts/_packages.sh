# Shared by the scripts beside this file: what they need that is no Python package.

# as_root COMMAND…: never asks for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install_package PACKAGE: from Debian's repositories. Where it cannot, it says why, and fails.
install_package() {
    local log
    if ! command -v apt-get >/dev/null; then
        echo "${0##*/}: there is no apt-get here to install $1 with" >&2
        return 1
    fi
    if ! as_root true 2>/dev/null; then
        echo "${0##*/}: run this once, then try again: sudo apt-get install -y $1" >&2
        return 1
    fi
    echo "${0##*/}: installing $1, once" >&2
    # At runlevel 1 packages install their services without starting them.
    if ! log=$(as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c \
        "apt-get update && apt-get install -y --no-install-recommends $1" 2>&1 </dev/null); then
        printf '%s: apt-get could not install %s: %s\n' "${0##*/}" "$1" "$log" >&2
        return 1
    fi
}

# install_server PACKAGE COMMAND SERVICE: only the program is wanted. Tests start servers of their own,
# so the package's service runs neither now nor after the next boot. Where the program is there already,
# its service is somebody's, and is left alone.
install_server() {
    command -v "$2" >/dev/null && return
    local systemd=/run/systemd/system
    # systemd knows no RUNLEVEL; what is masked cannot be started.
    [ ! -d $systemd ] || as_root systemctl mask --runtime --quiet "$3" 2>/dev/null || true
    install_package "$1" || return
    if [ -d $systemd ]; then
        as_root systemctl unmask --runtime --quiet "$3" || true
        as_root systemctl disable --now --quiet "$3" || true
    else
        # A system without init has no runlevel either.
        as_root service "$3" stop >/dev/null 2>&1 || true
        as_root update-rc.d "$3" disable >/dev/null 2>&1 || true
    fi
    command -v "$2" >/dev/null && return
    echo "${0##*/}: $1 is installed and has no $2" >&2
    return 1
}
