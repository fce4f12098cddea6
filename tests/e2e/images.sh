#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run classify and embed on image files, and image files that are none.
#   images.sh GRAFT_RUN MODELS DATA [EMULATOR...]
set -uo pipefail
run=$1 models=$2 images=$3/images
shift 3
emulator=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
graft_run() { timeout 120 "${emulator[@]}" "$run" "$@" --no-cache </dev/null >"$work/stdout" 2>"$work/stderr"; }
pass() { passed=$((passed + 1)); }
fail() { printf 'FAIL %s: %s\n' "$name" "$1"; sed 's/^/     | /' "$work/stderr" | head -5; failed=$((failed + 1)); }

# expect_error NAME NEEDLE... -- COMMAND...: fails with one line that has all needles.
expect_error() {
  name=$1; shift
  local needles=() needle status
  while [[ $1 != -- ]]; do needles+=("$1"); shift; done
  shift
  graft_run "$@"
  status=$?
  if ((status == 0 || status > 125)); then fail "exit $status"; return; fi
  if (($(wc -l <"$work/stderr") != 1)); then fail "not one line on standard error"; return; fi
  for needle in "${needles[@]}"; do
    grep -qF -- "$needle" "$work/stderr" || { fail "does not say '$needle'"; return; }
  done
  pass
}

# expect NAME AWK-CONDITION -- COMMAND...: succeeds, and the condition holds at the end of its output.
expect() {
  name=$1
  local condition=$2
  shift 3
  graft_run "$@" || { fail "exit $?"; return; }
  awk "$condition" "$work/stdout" || { fail "printed: $(head -c 300 "$work/stdout")"; return; }
  pass
}

vit=$models/image-vit-vit-f32.graft
likeliest=$(awk '$1 == "vit-vit" && $2 == "wide.png" { best = 4; for (i = 4; i <= NF; ++i) if ($i > $best) best = i; print "LABEL_" best - 4 }' "$images/references.txt")
expect "labels of an image" "NR == 1 { first = \$2 } { sum += \$1 } END { exit !(NR == 5 && first == \"$likeliest\" && sum > 0.999 && sum < 1.001) }" -- \
  classify "$vit" --image "$images/wide.png"
expect "labels of two images" 'NF == 1 { ++names } END { exit !(NR == 12 && names == 2) }' -- classify "$vit" --image "$images/wide.png" --image "$images/photo.jpg"
expect "labels as JSON" "/^{\"images\": \[{\"labels\": \[{\"label\": \"$likeliest\", \"score\": 0\.[0-9]*}/ { found = 1 } END { exit !found }" -- \
  classify "$vit" --image "$images/wide.png" --json
expect "embeddings of two images" '{ numbers += NF } END { exit !(NR == 2 && numbers == 32) }' -- \
  embed "$models/image-embedder-f32.graft" --image "$images/gray.png" --image "$images/alpha.png"
expect "what the model takes" '/^images +yes$/ { found = 1 } END { exit !found }' -- info "$vit"

# ---- what is asked for in vain ----
expect_error "a model of texts" "takes no images" -- classify "$models/architecture-bert_seqcls-f32.graft" --image "$images/wide.png"
expect_error "an embedder that is to classify" "does not classify" -- classify "$models/image-embedder-f32.graft" --image "$images/wide.png"
expect_error "a text for a model of images" "tokenizer" -- classify "$vit" --text hello
expect_error "both" "do not go together" -- classify "$vit" --text hello --image "$images/wide.png"
expect_error "neither" "--text or --image is missing" -- embed "$vit"

# ---- files that are no images ----
classify() { expect_error "$1" "${@:3}" -- classify "$vit" --image "$2"; }
big_endian() { printf "\\x$(printf %02x $(($1 >> 24 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 & 255)))"; }
# png WIDTH HEIGHT CHECKSUM: a whole PNG of 8-bit grey without pixels. CHECKSUM is that of its header, which no tool here computes.
png() {
  printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR'; big_endian "$1"; big_endian "$2"; printf '\x08\0\0\0\0'; big_endian "$3"
  printf '\0\0\0\0IEND\xae\x42\x60\x82'
}
# jpeg WIDTH HEIGHT COMPONENTS: a start, a frame, an end.
jpeg() {
  printf '\xff\xd8\xff\xc0\0\x14\x08'; big_endian $(($2 << 16 | $1)); printf "\\x0$3"; printf '\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0\xff\xd9'
}
classify "a file that is not there" "$work/absent.png" absent.png "No such file"
classify "a folder" "$work" "$work" "directory"
: >"$work/empty.png"
classify "an empty file" "$work/empty.png" empty.png "is empty"
classify "a text" "$images/references.txt" references.txt "neither PNG nor JPEG"
png 0 5 0x4e2db27d >"$work/zero.png"
classify "a PNG of no width" "$work/zero.png" zero.png "0 x 5 pixels" "1 to 16384"
png 100000 100000 0x8d395414 >"$work/large.png"
classify "a PNG of 100,000 pixels a side" "$work/large.png" large.png "100000 x 100000 pixels" "1 to 16384"
png 16384 16384 0x8ca34f58 >"$work/many.png"
classify "a PNG of too many pixels" "$work/many.png" many.png "16384 x 16384 pixels" 67108864
png 5 5 0x12345678 >"$work/checksum.png"
classify "a PNG with a wrong checksum" "$work/checksum.png" checksum.png checksum
jpeg 0 7 3 >"$work/zero.jpg"
classify "a JPEG of no width" "$work/zero.jpg" zero.jpg "0 x 7 pixels"
jpeg 65535 65535 3 >"$work/large.jpg"
classify "a JPEG of 65,535 pixels a side" "$work/large.jpg" large.jpg "65535 x 65535 pixels" "1 to 16384"
jpeg 8 8 4 >"$work/inks.jpg"
classify "a JPEG of four unknown inks" "$work/inks.jpg" inks.jpg "four components"
jpeg 8 8 3 >"$work/hollow.jpg"
classify "a JPEG without data" "$work/hollow.jpg" hollow.jpg "cannot be decoded"
for file in wide.png photo.jpg progressive.jpg; do
  head -c $(($(stat -c %s "$images/$file") - 40)) "$images/$file" >"$work/cut-$file"
  classify "a $file that is cut short" "$work/cut-$file" "cut-$file" "cut short"
done
cp "$images/wide.png" "$work/flip.png"
chmod u+w "$work/flip.png"
printf '\x55' | dd of="$work/flip.png" bs=1 seek=1000 conv=notrunc status=none
classify "a PNG with a changed byte" "$work/flip.png" flip.png checksum
truncate -s 70M "$work/huge.png"
classify "a file of 70 MB" "$work/huge.png" huge.png "more than 64 MiB"
classify "a PNG that unpacks to far more than its size" "$images/bomb.png" bomb.png "more data than its size asks for"

echo "$passed passed, $failed failed"
((failed == 0))
