#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keeps the rooms apart: each "forbid" says which includes may not appear in which files. Prints what breaks a rule.
#   includes.sh REPOSITORY
set -uo pipefail
cd "$1" || exit 1
failures=0

# forbid RULE FOLDERS INCLUDE-PATTERN [EXCEPT-PATTERN]: EXCEPT matches a whole grep line, "file:include".
forbid() {
  local rule=$1 folders=$2 pattern=$3 except=${4:-^$} found
  # shellcheck disable=SC2086
  found=$(grep -rEo --include='*.h' --include='*.cc' --include='*.c' "^ *# *include *[<\"]($pattern)[>\"]" $folders | grep -vE "$except")
  [[ -z $found ]] && return
  printf '%s:\n%s\n' "$rule" "$found"
  failures=$((failures + 1))
}

forbid "schema knows FlatBuffers and xxHash, no other room" schema '(runtime|converter|platforms|tests|graft)/.*|CLI/.*|nlohmann/.*|hwy/.*'
forbid "runtime knows schema only" runtime '(converter|platforms|tests)/.*|CLI/.*|nlohmann/.*'
forbid "converter knows schema only" converter '(runtime|platforms|tests)/.*'
forbid "of the converter the command alone knows graft.h" converter 'graft/.*' '^converter/commands/'
forbid "platforms know graft.h and the hooks" platforms '(converter|tests|runtime)/.*' 'runtime/platform/.*'
forbid "xnnpack.h stays in runtime/xnn" "schema runtime converter platforms" '(.*/)?xnnpack\.h' '^runtime/(xnn/|[a-z_/]*xnn_)'
forbid "generated headers are included in .cc files only, and where each op is one function" "schema runtime converter platforms" '.*_generated\.h' '\.cc:|^schema/generated/|^converter/lower/graph_builder\.h:'
exit $((failures > 0))
