#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No file of the project may name a folder of one person's machine, or a host that is not a public home of something cited.
#   portable_text.sh REPOSITORY
set -uo pipefail
cd "$1" || exit 1
allowed='(git-lfs\.)?github\.com|www\.debian\.org|www\.unicode\.org|arxiv\.org|www\.apache\.org|huggingface\.co|schemas\.android\.com|www\.w3\.org|in-toto\.io|model'   # upstreams, the first line of a Git LFS pointer, papers, the licence, the name spaces of Android's manifests and of SVG, the names of types in a signed bundle (model_signing's has no dot)

if git rev-parse --git-dir >/dev/null 2>&1; then files() { git ls-files -z; }; else files() { find . -name .git -prune -o -path ./build -prune -o -type f -print0; }; fi
failures=0
report() { [[ -z $2 ]] || { printf '%s:\n%s\n' "$1" "$2"; failures=1; }; }

report "absolute path of a machine" "$(files | grep -zv 'tests/data/' | xargs -0 grep -nEI '(^|[^A-Za-z0-9_.$}*-])/([w]ork|[h]ome|[r]oot|[s]rv|[U]sers)/')"
report "host that is not on the list in tests/arch" "$(files | grep -zvE 'tests/data/|^LICENSE$' | xargs -0 grep -noEI 'https?://[A-Za-z0-9.-]+' | grep -vE "https?://($allowed)$")"
exit $failures
