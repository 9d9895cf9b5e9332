#!/bin/sh
# A Chromium and fonts with Chinese and emoji, for the browser tests (浏览器与字体).
set -eu

has_browser() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1 && "$name" --version >/dev/null 2>&1; then
            return 0
        fi
    done
    # Playwright's own one, where it could be downloaded.
    .venv/bin/python -c 'import os, playwright.sync_api as p
with p.sync_playwright() as run: raise SystemExit(not os.path.exists(run.chromium.executable_path))' \
        >/dev/null 2>&1
}

has_fonts() {
    command -v fc-list >/dev/null 2>&1 &&
        [ -n "$(fc-list ':lang=zh-cn' family)" ] && fc-list | grep -qi emoji
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if has_browser && has_fonts; then
    exit 0
fi
if command -v apt-get >/dev/null 2>&1 && as_root true 2>/dev/null; then
    echo "browser: installing Chromium and fonts"
    log=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >"$log" 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        fontconfig fonts-noto-cjk fonts-noto-color-emoji >>"$log" 2>&1 || tail -n 1 "$log" >&2
    has_browser || as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends chromium >>"$log" 2>&1 || tail -n 1 "$log" >&2
    rm -f "$log"
fi
has_browser || .venv/bin/python -m playwright install chromium >/dev/null 2>&1 || true
if ! has_browser; then
    echo "browser: no Chromium here; install chromium or google-chrome, then run this again" >&2
    exit 1
fi
if ! has_fonts; then
    echo "browser: no Chinese or emoji font here; pages will show boxes (install Noto CJK and Noto Color Emoji)" >&2
fi
