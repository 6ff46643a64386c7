#!/usr/bin/env bash
# Everything that only a GPU can say about ba-sam, in one command that needs no network and at most eight minutes:
#   scripts/gpu-check.sh [--dry-run] [--seconds N] [FILE]
# Needs python3 with PyTorch and nvcc with cmake, or a build of its own: FILE is a bundle of scripts/gpu-bundle.mjs (build,
# Node, library) or a Node executable, plain or .xz; NODE=path does the same, BA_SAM_CUDA_BUILD=dir names a build.
# Writes bench/results/<date>-<gpu>.json and gpu-check.log, into $OUT as well when that is set. A step that fails or runs
# out of time is reported, and the others go on. Without a GPU it says what would run, and that every file is there.
exec python3 "$(dirname "$0")/gpu_check.py" "$@"
