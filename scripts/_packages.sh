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

# has PROGRAM: Debian keeps those of servers where ordinary users do not look.
has() {
    PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null
}

# install_server PACKAGE PROGRAM SERVICE…: only the program is wanted. Tests start servers of their own,
# so the package's services run neither now nor after the next boot. Where the program is there already,
# its services are somebody's, and are left alone.
install_server() {
    local package=$1 program=$2 systemd=/run/systemd/system service
    shift 2
    has "$program" && return
    # systemd knows no RUNLEVEL; what is masked cannot be started.
    [ ! -d $systemd ] || as_root systemctl mask --runtime --quiet "$@" 2>/dev/null || true
    install_package "$package" || return
    if [ -d $systemd ]; then
        as_root systemctl unmask --runtime --quiet "$@" || true
        as_root systemctl disable --now --quiet "$@" || true
    else
        # A system without init has no runlevel either.
        for service; do
            as_root service "$service" stop >/dev/null 2>&1 || true
            as_root update-rc.d "$service" disable >/dev/null 2>&1 || true
        done
    fi
    has "$program" && return
    echo "${0##*/}: $package is installed and has no $program" >&2
    return 1
}

# install_rabbit: as install_server. Its service starts epmd, by which Erlang's nodes find each other,
# and leaves it behind; where systemd runs, epmd has services of its own.
install_rabbit() {
    local services=(rabbitmq-server) before pid
    has rabbitmq-server && return
    has epmd || services+=(epmd.socket epmd.service)
    before=$(epmds)
    install_server rabbitmq-server rabbitmq-server "${services[@]}" || return
    for pid in $(epmds); do
        [[ " $before " == *" $pid "* ]] || as_root kill "$pid" 2>/dev/null || true
    done
}

# epmds: the pids of those that run as the users of Debian's packages, on one line.
epmds() {
    local proc=/proc process name pids=
    for process in "$proc"/[0-9]*; do
        { read -r name <"$process/comm"; } 2>/dev/null && [ "$name" = epmd ] || continue
        case $(stat -c %U "$process" 2>/dev/null) in epmd | rabbitmq) pids+=" ${process##*/}" ;; esac
    done
    echo "${pids# }"
}
