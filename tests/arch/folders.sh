#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The order of the folders of a room: a file includes its own folder and those before it in the line, nothing after it.
# Every folder must be in its line, and hold at most 28 source files.
#   folders.sh REPOSITORY
set -uo pipefail
cd "$1" || exit 1
failures=0
fail() { printf '%s\n' "$*"; failures=1; }

# check_order ROOM FOLDER...: the folders of ROOM, each knowing those before it.
check_order() {
  local room=$1 folder other known='' found
  shift
  for folder; do
    [[ -d $room/$folder ]] || { fail "$room/$folder is in the order, but is not there"; continue; }
    known+=" $folder"
    while IFS= read -r found; do
      other=${found#*\"$room/}
      other=${other%/*}
      [[ " $known " == *" $other "* ]] || fail "$room/$folder knows only the folders before it, not $room/$other: $found"
    done < <(grep -nEo "^ *# *include *\"$room/[^\"]*" "$room/$folder"/*.h "$room/$folder"/*.cc 2>/dev/null)
  done
  while IFS= read -r found; do
    [[ " $* " == *" ${found#"$room"/} "* ]] || fail "$found has sources, but no place in the order"
  done < <(find "$room" -mindepth 2 \( -name '*.cc' -o -name '*.h' \) -printf '%h\n' | sort -u | grep -vx "$room/include/graft")
  [[ -z $(find "$room" -maxdepth 1 \( -name '*.cc' -o -name '*.h' \)) ]] || fail "$room has sources outside of its folders"
}

check_order converter base json tensors formats formats/gguf tokenizer quantize gguf/families gguf checkpoint/quantized checkpoint adapter/names adapter merge/updates merge/random merge/plan merge/kinds \
  merge/kinds/saved merge/kinds/drawn merge lower lower/layer_stack lower/architectures lower/architectures/encoders lower/architectures/gated lower/architectures/gemma lower/architectures/vision lower/architectures/pictures calibrate/numbers calibrate sensitivity probes write packs sign describe commands/texts commands
check_order runtime platform base threads kernels kernels/products kernels/images image audio xnn model plan executor ops ops/experts ops/images ops/recurrent session tokenizer constrain constrain/json tools draft tasks chat c_api

check_order platforms/embedded_linux console options machine model inputs generation pictures sound compare commands

while read -r count folder; do
  ((count <= 28)) || fail "$folder has $count source files, more than 28"
done < <(find schema runtime converter platforms \( -name '*.cc' -o -name '*.h' \) -printf '%h\n' | sort | uniq -c)
exit $failures
