#!/bin/sh
# Python's venv module, libGL and GLib: OpenCV's wheel needs the last two. Installs them on Debian as root,
# says in one line how otherwise.
set -eu
need=""
python3 -c 'import ensurepip, venv' 2>/dev/null || need="$need python3-venv"
libraries=$(ldconfig -p 2>/dev/null || true)
case "$libraries" in *libGL.so.1*) ;; *) need="$need libgl1" ;; esac
case "$libraries" in *libgthread-2.0.so.0*) ;; *) need="$need libglib2.0-0" ;; esac
[ -z "$need" ] && exit 0
if [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $need
elif [ "$(uname -s)" = Linux ]; then
    echo "Got no$need, expected them on this machine. Run: sudo apt-get install$need" >&2
    exit 1
fi
