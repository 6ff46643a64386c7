#!/usr/bin/env bash
# The package on machines that have nothing: chroots made by debootstrap, with this machine's Node copied into them.
#   scripts/check-fresh.sh bookworm            a clone of HEAD, git and nothing else: the README's two commands, then all tests
#   scripts/check-fresh.sh bookworm --quick    set-up, demo, and a few tests; four minutes, most of it the compiler's
#   scripts/check-fresh.sh --tarball FILE [SUITE…]   a packed tarball, no compiler: it must segment a picture, or, below the
#                                              floor, say which glibc it needs (default: bookworm jammy bullseye)
# Needs root, Debian or Ubuntu, and the network. Package sources, proxies and certificates are this machine's. Bare systems are
# kept for a month, in $BA_SAM_FRESH_CACHE (default /var/tmp/ba-sam-fresh); what a check makes of one is removed after it.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly cache=${BA_SAM_FRESH_CACHE:-/var/tmp/ba-sam-fresh}

fail() {
  echo "check-fresh: $*" >&2
  exit 1
}

install_if_missing() {
  if dpkg -s "$1" >/dev/null 2>&1; then return; fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}

# Sets `mirror`: the first of this machine's sources that has the suite, else the default of debootstrap's own script.
find_mirror() {
  local suite=$1 uri
  mirror=
  for uri in $(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    sed -nE 's/^URIs: *//p; s/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p' | tr ' ' '\n' | sort -u); do
    if node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' \
      "${uri%/}/dists/$suite/Release"; then
      mirror=$uri
      return
    fi
  done
}

# A bare system; sets `base`.
make_base() {
  local suite=$1
  base=$cache/$suite
  if [[ -n $(find "$base/.made" -mtime -30 2>/dev/null) ]]; then return; fi
  rm -rf "$base" "$base.part"
  mkdir -p "$cache"
  install_if_missing debootstrap || fail 'debootstrap cannot be installed'
  local options=(--variant=minbase --include=ca-certificates,git)
  # All suites of Ubuntu share one script.
  if [[ $(readlink -f "/usr/share/debootstrap/scripts/$suite") == */gutsy ]]; then
    if ! install_if_missing ubuntu-keyring; then
      echo "check-fresh: there is no ubuntu-keyring here: the signatures of $suite are not checked"
      options+=(--no-check-gpg)
    fi
  fi
  find_mirror "$suite"
  echo "check-fresh: debootstrap $suite"
  if ! debootstrap "${options[@]}" "$suite" "$base.part" ${mirror:+"$mirror"} \
    >"$cache/$suite.log" 2>&1; then
    tail -5 "$cache/$suite.log" >&2
    fail "debootstrap could not make $suite: $cache/$suite.log"
  fi
  rm -rf "$base.part"/var/cache/apt/archives/*.deb
  mv "$base.part" "$base"
  touch "$base/.made"
}

# Node, npm and Node's headers, as every way to install Node brings them.
copy_node() {
  local node npm
  node=$(readlink -f "$(command -v node)")
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  mkdir -p "$1/usr/lib/node_modules"
  cp "$node" "$1/usr/bin/node"
  cp -r "$npm" "$1/usr/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$1/usr/bin/npx"
  local headers
  headers=$(dirname "$(dirname "$node")")/include/node
  if [[ -d $headers ]]; then
    mkdir -p "$1/usr/include"
    cp -r "$headers" "$1/usr/include/node"
  fi
}

# Names, certificates, proxies and registries are this machine's.
copy_network() {
  cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
  mkdir -p "$1/etc/ssl/certs"
  if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
  fi
  apt-config dump | grep -iE '^Acquire::https?::(proxy|cainfo|verify)' >"$1/etc/apt/apt.conf.d/99machine" || true
  local name value
  for name in registry proxy https-proxy noproxy strict-ssl replace-registry-host; do
    value=$(npm config get "$name")
    if [[ -n $value && $value != null && $value != undefined ]]; then echo "$name=$value"; fi
  done >"$1/root/.npmrc"
  printf "%s\n" cafile=/etc/ssl/certs/ca-certificates.crt update-notifier=false >>"$1/root/.npmrc"
}

# Runs a shell script inside, with nothing of this machine's environment but proxies. Mounts and processes end with it.
inside() {
  local root=$1 script=$2
  local passed=() name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [[ -n ${!name:-} ]]; then passed+=("$name=${!name}"); fi
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -c '
    set -euo pipefail
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec env -i "${@:3}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
      chroot "$1" bash -c "$2"' inside "$root" "set -euo pipefail; cd /root; $script" "${passed[@]}"
}

# A copy of the bare system with Node; sets `system`.
make_system() {
  make_base "$1"
  system=$(mktemp -d "$cache/$1-XXXXXX")
  cp -a --reflink=auto "$base/." "$system/"
  copy_node "$system"
  copy_network "$system"
}

remove_system() {
  if [[ -n ${system:-} ]]; then rm -rf --one-file-system "$system"; fi
  system=
}

step() {
  local start=$SECONDS
  echo "check-fresh: $1"
  inside "$system" "$2" || fail "failed after $((SECONDS - start)) s: $1"
  echo "check-fresh: done in $((SECONDS - start)) s"
}

# Tests that know of the system what others do not: files, programs, the package as users get it.
readonly quick='test/cuda/build.test.ts test/package/sources.test.ts test/package/entries.test.ts test/cli/info.test.ts
  test/image/load.test.ts test/model/sam.test.ts'

check_clone() {
  local suite=$1 quick_only=$2
  make_system "$suite"
  git clone --quiet --no-hardlinks "file://$PWD" "$system/root/ba-sam"
  git -C "$system/root/ba-sam" checkout --quiet --detach "$(git rev-parse HEAD)"
  step "scripts/setup.sh demo in $suite" 'cd ba-sam && scripts/setup.sh demo && test -s demo-output/256.png'
  if [[ $quick_only ]]; then
    step "a few tests in $suite" "cd ba-sam && npx vitest run $(tr -d '\n' <<<"$quick")"
  else
    step "scripts/setup.sh test in $suite" 'cd ba-sam && scripts/setup.sh test'
    step "npm run test:system in $suite" 'cd ba-sam && npm run test:system'
  fi
}

# What the tarball does where there is only Node: prints one line.
check_tarball() {
  local tarball=$1 suite=$2
  make_system "$suite"
  cp "$tarball" "$system/root/ba-sam.tgz"
  cp examples/images/demo.png "$system/root/"
  step "npm install ba-sam.tgz in $suite, without a compiler" \
    '! command -v cc c++ make python3 && npm init -y >/dev/null && npm install --no-audit --no-fund ./ba-sam.tgz'
  local floor here said
  floor=$(node -p 'require("./package.json").binary.glibc')
  here=$(inside "$system" 'getconf GNU_LIBC_VERSION' | cut -d' ' -f2)
  if said=$(inside "$system" 'npx ba-sam segment demo.png --point 200,200 -o mask.png && test -s mask.png' 2>&1); then
    echo "check-fresh: $suite (glibc $here): segments"
  elif [[ $(printf '%s\n' "$floor" "$here" | sort -V | head -1) != "$floor" && $said == *"glibc $floor"*"glibc $here"* ]]; then
    echo "check-fresh: $suite (glibc $here): refused, as it must be: $said"
  else
    fail "$suite (glibc $here, floor $floor): $said"
  fi
}

[[ $(id -u) -eq 0 ]] || fail 'root is needed, for chroot and mount'
command -v apt-config >/dev/null || fail 'a Debian or Ubuntu machine is needed, for debootstrap'
unshare --mount true 2>/dev/null || fail 'this container may not mount anything: unshare --mount failed'
trap remove_system EXIT

if [[ ${1:-} == --tarball ]]; then
  [[ -f ${2:-} ]] || fail 'expected a packed tarball after --tarball: npm run prebuildify && npm pack'
  tarball=$2
  shift 2
  if (($# == 0)); then set -- bookworm jammy bullseye; fi
  for suite in "$@"; do
    check_tarball "$tarball" "$suite"
    remove_system
  done
elif [[ ${1:-} =~ ^[a-z]+$ && ( $# -eq 1 || ${2:-} == --quick ) ]]; then
  check_clone "$1" "${2:-}"
else
  fail "expected SUITE [--quick] or --tarball FILE [SUITE…] but received $*"
fi
