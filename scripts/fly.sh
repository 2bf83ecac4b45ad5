# shellcheck shell=bash
# Sourced by deploy-tenant and rotate-secret: one tenant's app on Fly, and secrets that appear on no command line and in
# no output.

set -euo pipefail

FLYCTL=${FLYCTL:-flyctl}
DRY=${DRY:-}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# What becomes part of an app's name and of a host name: stricter than `tenant.id`, which may also be given with --id.
check_tenant() {
  local name=$1-$2
  [[ $2 =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ && $name =~ ^[a-z][a-z0-9-]*$ && ${#name} -le 63 ]] ||
    die "'$2' cannot be part of the app's name '$name': use lower-case letters, digits and '-', not at the ends, 63 characters in all"
}

# Each call of flyctl goes through here: `--dry-run` prints it and runs nothing.
fly() {
  if [[ -n $DRY ]]; then
    printf '%s' "$FLYCTL"
    printf ' %q' "$@"
    printf '\n'
  else
    "$FLYCTL" "$@"
  fi
}

# What flyctl lists, to look for names in it; nothing in a dry run.
fly_list() {
  if [[ -n $DRY ]]; then
    fly "$@" >&3
  else
    "$FLYCTL" "$@" || die "flyctl $1 $2 failed: is somebody logged in here (flyctl auth login)?"
  fi
}

# Whether that JSON has an object of this name; flyctl has written the key in both cases.
has_name() { grep -qE "\"[Nn]ame\": *\"$2\"" <<<"$1"; }

# 32 bytes of the system's randomness as 64 characters.
new_secret() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

# A secret that exists elsewhere already, from a file: one line, long enough.
secret_from() {
  local value
  [[ -r $1 ]] || die "$1 cannot be read"
  value=$(<"$1")
  [[ $value != *$'\n'* ]] || die "$1 has several lines: a secret is one"
  [[ ${#value} -ge 32 ]] || die "the secret in $1 is shorter than 32 characters"
  [[ $value =~ ^[A-Za-z0-9._~+/=:@-]+$ ]] || die "the secret in $1 has characters that would not arrive unchanged"
  printf '%s' "$value"
}

# Standard input, NAME=VALUE lines, becomes secrets of the app at its next deployment. printf is part of the shell, so no
# process has a value among its arguments.
import_secrets() {
  if [[ -n $DRY ]]; then
    fly secrets import --app "$1" --stage
    sed -E 's/^([A-Z0-9_]+)=.*/  # on standard input: \1=(a secret)/'
  else
    "$FLYCTL" secrets import --app "$1" --stage >&2 || die "the secrets of $1 could not be set; nothing was deployed"
  fi
}

# APP, then the arguments of the deployment but its image: whoever leaves the `--env` out deploys an app without a tenant.
how_to_roll_back() {
  local app=$1
  shift
  say "What ran before is still there. Look, then go back:"
  say "  $FLYCTL logs --app $app --no-tail"
  say "  $FLYCTL releases --app $app --image          # the image of each release"
  say "  $FLYCTL$(printf ' %q' "$@") --image IMAGE-OF-THE-RELEASE-BEFORE"
}
