#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libgraft_jni.so shows JNI_OnLoad and the functions of graft.h (EXPORTS) alone, loads with pages of 16 KiB, has no text relocations or executable stack, and asks of the C
# library nothing that BIONIC_LIST does not name: what Android 7.0 (API 24) has. Names under versions of the C++ library do not count:
# on Android that is linked in.
#   library.sh READELF LIBRARY BIONIC_LIST EXPORTS
set -euo pipefail
readelf=$1 library=$2 list=$3 exports=$4
failed=0
complain() { echo "$1"; failed=1; }

symbols=$("$readelf" --dyn-syms --wide "$library")
shown=$(awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") && NF >= 8 { print $8 }' <<<"$symbols" | sed 's/@.*//' | sort -u)
[[ $shown == "$(sort -u "$exports")" ]] || complain "it shows more or less than JNI_OnLoad and graft.h: $shown"

smallest=$("$readelf" --program-headers --wide "$library" | awk '$1 == "LOAD" { print $NF }' | sort -u)
[[ $smallest == 0x4000 ]] || complain "segments are not aligned to 16 KiB: $smallest"
"$readelf" --program-headers --wide "$library" | grep -E 'GNU_STACK.* RWE' && complain "its stack is executable"
dynamic=$("$readelf" --dynamic --wide "$library")
grep -q TEXTREL <<<"$dynamic" && complain "it has text relocations"
grep -q 'soname: \[libgraft_jni.so\]' <<<"$dynamic" || complain "it has no name of its own"

# readelf pads names but cuts none off with --wide: "123: 0 0 FUNC GLOBAL DEFAULT UND pread64@GLIBC_2.2.5 (7)".
wanted=$(awk '$7 == "UND" && $5 == "GLOBAL" { print $8 }' <<<"$symbols" | grep -vE '@(GLIBCXX|CXXABI|GCC)_' | sed 's/@.*//' | grep -vE '^(_Z|__cxa_|__gxx_)' | sort -u)
(($(wc -l <<<"$wanted") > 20)) || complain "hardly any name was read: $wanted"
unknown=$(grep -vxFf <(sed -E "/^#/d; s/ .*//" "$list") <<<"$wanted" || true)
[[ -z $unknown ]] || complain "not in $list (does bionic have it at API 24? then add it):
$unknown"
((failed == 0)) && echo "$(wc -l <<<"$wanted") names of the C library, all known at API 24"
exit $failed
