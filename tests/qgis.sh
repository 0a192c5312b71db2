#!/usr/bin/env bash
# The part of the tests that needs QGIS: `prepare` gets it, `test` runs it.
#
# QGIS runs in its own Python (QGIS_PYTHON, by default the system's), in an environment .venv-qgis that sees QGIS's
# modules and adds pytest. Where QGIS is missing and apt-get may be used, it is installed; where it may not, the rest of
# `make test` still runs and this script says loudly what did not. With CI set, a missing QGIS is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

QGIS_PYTHON=${QGIS_PYTHON:-/usr/bin/python3}
PACKAGES=(qgis python3-qgis qgis-providers xvfb xauth)
ENGINE=.venv/bin/python
IN_QGIS=.venv-qgis/bin/python
STAMP=.venv-qgis/.ready

# Another Python's variables would lead QGIS's Python to the wrong modules.
mapfile -t FOREIGN < <(compgen -e PYTHON; echo VIRTUAL_ENV)
clean() { env "${FOREIGN[@]/#/--unset=}" "$@"; }

missing() {
    clean "$QGIS_PYTHON" -c 'import qgis.core, qgis.gui' 2>/dev/null || echo "QGIS's modules for $QGIS_PYTHON"
    command -v qgis >/dev/null || echo "the program qgis"
    command -v xvfb-run >/dev/null || echo "the program xvfb-run"
}

explain() {
    echo "==> The tests in QGIS cannot run here. Missing:"
    missing | sed 's/^/      /'
    echo "    On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${PACKAGES[*]}"
    echo "    Elsewhere: install QGIS 3.22 or newer and Xvfb, and name QGIS's Python: make QGIS_PYTHON=/path test"
} >&2

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

install_qgis() {
    echo "==> QGIS is missing; installing it with apt-get: ${PACKAGES[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${PACKAGES[@]}"
}

prepare() {
    if [ -n "$(missing)" ] && may_install; then
        install_qgis
    fi
    if [ -n "$(missing)" ]; then
        explain
        [ -z "${CI:-}" ] || exit 1
        return
    fi
    if [ ! -e "$STAMP" ] || [ constraints.txt -nt "$STAMP" ]; then
        clean "$QGIS_PYTHON" -m venv --clear --without-pip --system-site-packages .venv-qgis
        "$ENGINE" -m pip --python "$IN_QGIS" install --quiet --disable-pip-version-check \
            --constraint constraints.txt pytest pytest-qgis pytest-timeout pytest-xdist
        touch "$STAMP"
    fi
}

run_tests() {
    if [ -n "$(missing)" ]; then
        explain
        [ -z "${CI:-}" ] || exit 1
        echo "==> All other tests passed; those in QGIS DID NOT RUN." >&2
        return
    fi
    QT_QPA_PLATFORM=offscreen clean "$IN_QGIS" -m pytest -p no:cacheprovider tests/plugin "$@"
    "$ENGINE" -m pytest -p no:cacheprovider tests/desktop
}

case "${1:-}" in
    prepare) prepare ;;
    test) shift; prepare; run_tests "$@" ;;
    *) echo "usage: tests/qgis.sh prepare | test [PYTEST OPTIONS]" >&2; exit 2 ;;
esac
