#!/bin/sh
# Copies the front-end files named here out of node_modules, with their licences and a list of
# SHA-256 sums (`make vendor`). The copies are committed, so nobody needs Node to run or test.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --silent

copy() { # package file door
    target="$3/static/vendor"
    mkdir -p "$target"
    name=$(basename "$2")
    cp "node_modules/$1/$2" "$target/$name"
    version=$(node -p "require('./node_modules/$1/package.json').version")
    licence=$(node -p "require('./node_modules/$1/package.json').license")
    sum=$(sha256sum "$target/$name" | cut -d' ' -f1)
    echo "$sum  $name  $1 $version  $licence" >> "$target/VENDORED.txt"
    for text in node_modules/"$1"/LICENSE*; do
        [ -e "$text" ] && cp "$text" "$target/LICENSE.$(echo "$1" | tr '/@' '__').txt"
    done
    return 0
}

rm -rf handlers/h5/static/vendor
copy weui dist/style/weui.min.css handlers/h5
copy htmx.org dist/htmx.min.js handlers/h5
