# Sourced by the scripts beside it: where things are, the tools the tests need, and a sidecar to test.
# Everything is installed inside the repository, in folders that git ignores, and only when it is missing or old.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
CLIENTS=$ROOT/tests/clients
NODE=$CLIENTS/node_modules/node/bin/node
PYTHON=$CLIENTS/.venv/bin/python
PYTHON_2=$CLIENTS/.venv-2/bin/python
CARGO_DENY_VERSION=0.20.2

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# The binary under test: $SIDECAR_BIN, or the debug build. Built together with the tests, so that what
# `cargo test` has already compiled is not compiled again with other features.
build_toolbridge() {
  TOOLBRIDGE=${SIDECAR_BIN:-$TARGET/debug/toolbridge}
  [[ -n ${SIDECAR_BIN:-} ]] || cargo build --locked --quiet --bins --test it
  [[ -x $TOOLBRIDGE ]] || die "no binary at $TOOLBRIDGE"
}

# The pinned npm packages of the client tests; `node` among them, because the suite and Inspector need a newer one than
# many machines have.
set_up_node() { set_up_npm_packages tests/clients; }

# The pinned WorkOS emulator, in a folder of its own because it is 300 MB.
set_up_workos() { set_up_npm_packages tests/workos; }

set_up_npm_packages() {
  local lock=$ROOT/$1/package-lock.json installed=$ROOT/$1/node_modules/.installed-lock
  if cmp -s "$lock" "$installed"; then return; fi
  command -v npm >/dev/null || die "npm is needed for the client tests: install Node.js 20 or newer"
  say "installing the npm packages of $1"
  (cd "$ROOT/$1" && npm ci --no-audit --no-fund --loglevel=error >&2)
  cp "$lock" "$installed"
}

# The pinned Python packages, in environments of their own: the SDK's two lines cannot be installed side by side.
set_up_python() {
  set_up_python_packages requirements.txt .venv
  set_up_python_packages requirements_2.txt .venv-2
}

set_up_python_packages() {
  local pins=$CLIENTS/$1 environment=$CLIENTS/$2
  if cmp -s "$pins" "$environment/installed-requirements"; then return; fi
  say "installing the Python packages of tests/clients/$1"
  rm -rf "$environment"
  python3 -m venv "$environment" || die "Python 3.10 or newer with its venv module is needed for the client tests"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins" >&2
  cp "$pins" "$environment/installed-requirements"
}

# A Redis or Valkey server, which the tests start themselves: limits that several machines share are tried against a real
# one.
set_up_redis() {
  if command -v redis-server valkey-server >/dev/null; then return; fi
  set_up_debian_package redis-server
}

# Installed, and not started as a service.
set_up_debian_package() {
  command -v apt-get >/dev/null || die "$1 is needed for the tests: install it"
  say "installing the Debian package $1"
  local policy=/usr/sbin/policy-rc.d made=
  [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1; }
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2
  [[ -z $made ]] || rm "$policy"
}

# cargo-deny, compiled without optimization: a third of the time, and still a second a run.
set_up_cargo_deny() {
  DENY=$TARGET/tools/bin/cargo-deny
  if [[ $("$DENY" --version 2>/dev/null) == "cargo-deny $CARGO_DENY_VERSION" ]]; then return; fi
  say "compiling cargo-deny $CARGO_DENY_VERSION (about a minute on two cores)"
  CARGO_TARGET_DIR=$TARGET/tools/build CARGO_PROFILE_DEV_DEBUG=false \
    cargo install cargo-deny --version "=$CARGO_DENY_VERSION" --locked --debug --quiet --root "$TARGET/tools"
  rm -rf "$TARGET/tools/build"
}

# Starts `toolbridge dev` with every port free and nothing kept; sets URL, TOKEN, OPS and BACKEND once it is ready.
start_dev() {
  WORK=$(mktemp -d)
  trap stop_sidecar EXIT
  mkfifo "$WORK/ready"
  "$TOOLBRIDGE" dev --json --port 0 --ops-port 0 --backend-port 0 --ephemeral >"$WORK/ready" 2>"$WORK/log" &
  SIDECAR=$!
  # Held open until the end: a reader that goes away would break the sidecar's standard output.
  exec 3<"$WORK/ready"
  local ready
  read -r -t 60 ready <&3 || not_ready "toolbridge dev did not become ready"
  URL=$(member mcp_url "$ready")
  TOKEN=$(member token "$ready")
  OPS=$(member ops_url "$ready")
  BACKEND=$(member backend_url "$ready")
  [[ -n $URL && -n $TOKEN && -n $BACKEND ]] || die "toolbridge dev --json printed something else: $ready"
}

# Shows what the sidecar said instead of listening, and gives up.
not_ready() {
  cat "$WORK/log" >&2
  kill -TERM "$SIDECAR" 2>/dev/null || true
  SIDECAR=
  rm -rf "$WORK"
  die "$1"
}

# Ends what start_dev started; it must go quietly, with status 0.
stop_sidecar() {
  [[ -n ${SIDECAR:-} ]] || return 0
  local pid=$SIDECAR status=0
  SIDECAR=
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  exec 3<&-
  if [[ $status != 0 ]]; then
    tail -n 40 "$WORK/log" >&2
    rm -rf "$WORK"
    die "the sidecar ended with status $status after SIGTERM"
  fi
  rm -rf "$WORK"
}

# One string member of a flat JSON object: `member token '{"token":"…"}'`.
member() { sed -nE "s/.*\"$1\": *\"([^\"]*)\".*/\1/p" <<<"$2"; }

# Milliseconds, for measuring.
now_ms() { echo $(($(date +%s%N) / 1000000)); }
