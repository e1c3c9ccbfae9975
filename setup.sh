#!/usr/bin/env bash
# Set-up on a machine that has never seen the project: OS packages (apt-get, when root), virtual environment, pins.
# usage: setup.sh PYTHON VENV           what the bus needs on one machine
#        setup.sh PYTHON VENV cluster   and what a cluster, the tests and the benchmarks need: RabbitMQ, a browser
set -euo pipefail
python=$1 venv=$2 more=${3:-}
cd "$(dirname "$0")"

need=()
if [ "$more" = cluster ]; then
    [ -x /usr/sbin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null 2>&1 || need+=(rabbitmq-server)
    command -v chromium >/dev/null 2>&1 || need+=(chromium) # the browser of the console's tests
    command -v systemd-analyze >/dev/null 2>&1 || need+=(systemd) # the tests verify the units that we ship
fi
ls /usr/lib/*/engines-3/gost.so >/dev/null 2>&1 || need+=(libengine-gost-openssl)
command -v openssl >/dev/null 2>&1 || need+=(openssl) # the tests' oracle for signatures
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || need+=(python3-venv)
if [ ${#need[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
        echo "Ставлю системные пакеты: ${need[*]}"
        # We start nodes of our own: no package may start a service here.
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
    else
        echo "Не хватает системных пакетов. Выполните: sudo apt-get install ${need[*]}" >&2
        exit 1
    fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Нужен Python 3.11 или новее, а $python — $("$python" --version). Укажите другой: make PYTHON=python3.12 …" >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' 2>&1 \
    | { grep -v "^WARNING: Location" || true; }
