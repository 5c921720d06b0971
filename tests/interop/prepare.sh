# shellcheck shell=bash
# The servers of other projects: gets and builds them, at the versions that are pinned here.
#
# Sourced by tests/run, which calls
#   prepare_interop        exports ICAP_INTEROP_PYTHON and ICAP_INTEROP_ICAP_RS
# The tests start and end the servers themselves. What is made here is kept below the target folder,
# so the next run takes neither time nor network.

INTEROP=$(dirname -- "${BASH_SOURCE[0]}")

prepare_interop() {
    local kept=${CARGO_TARGET_DIR:-target}/interop
    mkdir -p "$kept"
    kept=$(realpath -- "$kept")
    prepare_pyicap "$kept/python"
    prepare_icap_rs "$kept/icap-rs"
    env | grep '^ICAP_INTEROP_' | sort
}

prepare_pyicap() {
    local venv=$1 wanted
    wanted=$(python3 --version && cat "$INTEROP"/*requirements.txt)
    if [[ $(cat "$venv/made-of" 2>/dev/null) != "$wanted" ]]; then
        rm -rf -- "$venv"
        run timeout 120 python3 -m venv "$venv"
        # Without isolation, or pip would build pyicap with whatever setuptools is the latest.
        pip_install "$venv" -r "$INTEROP/build-requirements.txt"
        pip_install "$venv" --no-build-isolation --use-pep517 -r "$INTEROP/requirements.txt"
        echo "$wanted" >"$venv/made-of"
    fi
    export ICAP_INTEROP_PYTHON=$venv/bin/python
}

pip_install() {
    local venv=$1
    shift
    run timeout 300 "$venv/bin/python" -m pip install --quiet --no-input \
        --disable-pip-version-check --require-hashes --no-deps "$@"
}

# icap-rs needs a newer Rust than the crate under test.
prepare_icap_rs() {
    local target=$1 manifest=$INTEROP/icap-rs/Cargo.toml needed present
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$manifest")
    present=$(rustc --version | cut -d ' ' -f 2)
    if [[ $(printf '%s\n' "$needed" "$present" | sort -V | head -n 1) != "$needed" ]]; then
        say "icap-rs needs Rust $needed, and this is $present: the tests with it are left out"
        return
    fi
    run timeout 900 cargo build --locked --quiet --manifest-path "$manifest" --target-dir "$target"
    export ICAP_INTEROP_ICAP_RS=$target/debug/icap-rs-server
}
