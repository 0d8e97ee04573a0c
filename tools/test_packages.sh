#!/bin/sh
# What the tests use where it is there and skip without: an X server for the window, a browser for the pages.
set -eu
need=""
command -v Xvfb >/dev/null || need="$need xvfb"
command -v xdotool >/dev/null || need="$need xdotool"
command -v chromium >/dev/null || need="$need chromium"
[ -z "$need" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $need ||
        echo "Got no$need: their tests are skipped." >&2
else
    echo "Got no$need: their tests are skipped. Run: sudo apt-get install$need" >&2
fi
