#!/usr/bin/env bash
# Installs what is missing on a Debian or Ubuntu machine with Node, builds, and runs the npm script given:
#   scripts/setup.sh demo      scripts/setup.sh test
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null; then
  echo "ba-sam: Node.js 20.9 or later is needed: https://nodejs.org/en/download" >&2
  exit 1
fi
node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 9)) {
    console.error(`ba-sam: Node.js 20.9 or later is needed but this is ${process.version}`);
    process.exit(1);
  }'

missing=()
command -v "${CXX:-g++}" >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
command -v python3 >/dev/null || missing+=(python3)
node scripts/find-onednn.mjs --root >/dev/null 2>&1 || missing+=(libdnnl-dev)
if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "ba-sam: install these first (apt-get was not found): ${missing[*]}" >&2
    exit 1
  fi
  sudo=()
  if [[ $(id -u) -ne 0 ]]; then sudo=(sudo); fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

npm ci --no-audit --no-fund
npm run build
if (($#)); then npm run "$@"; fi
