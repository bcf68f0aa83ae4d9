#!/usr/bin/env bash
# Builds cargo-deny, which `make test` asks about licences and duplicates, into the user's cache directory:
#
#   ${XDG_CACHE_HOME:-~/.cache}/tidewheel/tools/bin/cargo-deny
#
# It is pinned by version, and its dependencies by the lock file it comes with. Where it is already there in that version
# nothing happens. It is built without optimisation: that takes a minute or two, and a check takes a few seconds either way.
set -euo pipefail

tools="${XDG_CACHE_HOME:-$HOME/.cache}/tidewheel/tools"
version=0.20.2

if [[ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" == "cargo-deny $version" ]]; then
    exit
fi

echo "building cargo-deny $version in $tools"
mkdir -p "$tools"
# In a folder of its own, which Cargo removes afterwards, and not among what is built of this project.
env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
    cargo install cargo-deny --quiet --locked --version "=$version" --root "$tools" --debug --no-track --force || {
    echo "fetch-tools: could not build cargo-deny $version; is the crate registry reachable?" >&2
    exit 1
}
