#!/bin/sh
# A lab host's life: machine.sh start|stop. Prints what it changed.
set -eu

boot=$LAB_HOST_DIRECTORY/boot.sh
shutdown_seconds=60

# Prints the process id of the boot loop, if that is really ours and alive.
loop() {
    pid=$(cat "$LAB_HOST_DIRECTORY/pid" 2>/dev/null) || return 0
    ! tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$boot" || echo "$pid"
}

start() {
    [ -z "$(loop)" ] || return 0
    cp "$(dirname "$0")/boot.sh" "$boot"
    set -- sh "$boot" "$LAB_NAME" "$LAB_HOST_DIRECTORY" "$LAB_BRIDGE"
    # Under a systemd of this machine it has to be a unit, or it would end with the session that started it.
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="market-pulse-lab-$LAB_NAME" --property=Delegate=yes "$@"
    else
        setsid --fork "$@" </dev/null >"$LAB_HOST_DIRECTORY/console.log" 2>&1
    fi
    echo "started $LAB_NAME"
}

# As by the power button; what does not end in time loses its power.
stop() {
    pid=$(loop)
    [ -n "$pid" ] || return 0
    nspawn=$(pgrep -P "$pid" -x systemd-nspawn || true)
    kill -TERM "$pid"
    deadline=$(($(date +%s) + shutdown_seconds))
    while [ -n "$(loop)" ]; do
        if [ "$(date +%s)" -gt $deadline ]; then
            echo "$LAB_NAME did not shut down within $shutdown_seconds s and was killed"
            # shellcheck disable=SC2046,SC2086 # process ids
            kill -KILL $(pgrep -P "${nspawn:-$pid}" || true) $nspawn
            deadline=$((deadline + shutdown_seconds))
        fi
        sleep 0.2
    done
    echo "stopped $LAB_NAME"
}

"$1"
