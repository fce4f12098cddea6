#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What only an Android build compiles links: the files of the dependencies that know of Android are compiled for it, and every name that
# they ask for is one of the C library's at API 24 (BIONIC_LIST), or of liblog (LOG_LIST) if cmake/dependencies.cmake links that there.
# The rest of the dependencies, and graft itself, are the same on Android as on Linux: library.sh looks at those.
#   link.sh CMAKE CLANG NM SOURCE DEPS_PREFIX DOWNLOADS OUT
set -euo pipefail
cmake=$1 clang=$2 nm=$3 source=$4 prefix=$5 downloads=$6 out=$7
here=$source/tests/android
rm -rf "$out"
mkdir -p "$out/source" "$out/objects" "$out/configured"

"$cmake" -G Ninja -S "$here/link" -B "$out/configured" -DGRAFT_SOURCE="$source" -DGRAFT_DEPS_PREFIX="$prefix" >"$out/configure.log" 2>&1 ||
  { cat "$out/configure.log"; exit 1; }
known() { sed -E '/^#/d; s/ .*//' "$@"; }
known "$here/bionic_24.txt" >"$out/known"
if grep -qx log "$out/configured/link_libraries.txt"; then known "$here/liblog_24.txt" >>"$out/known"; fi

for name in cpuinfo fxdiv pthreadpool xnnpack; do
  mkdir "$out/source/$name"
  tar -xf "$downloads/$name"_*.orig.tar.xz -C "$out/source/$name" --exclude='src/*-*/*' --exclude='test/*' --exclude='bench/*' --wildcards '*.[ch]'   # kernels aside
done
mapfile -t files < <(cd "$out/source" && grep -rlE '__ANDROID__|PLATFORM_ANDROID' --include='*.c' . | grep -vE '/(deps|bench|test|tools|riscv|x86)/')
files+=($(cd "$out/source" && find . -path '*/android/*.c'))
((${#files[@]} >= 10)) || { echo "only ${#files[@]} files know of Android: ${files[*]}"; exit 1; }
includes=(-I "$here/ndk_headers")
for folder in "$out"/source/*/{,*/}{include,src} "$out/source/xnnpack"; do [[ -d $folder ]] && includes+=(-I "$folder"); done

checked=0
for target in x86_64-linux-android24:/usr/include/x86_64-linux-gnu aarch64-linux-android24:/usr/aarch64-linux-gnu/include \
    armv7a-linux-androideabi24:/usr/arm-linux-gnueabihf/include; do
  headers=${target#*:} target=${target%:*}
  [[ -d $headers ]] || continue
  for file in "${files[@]}"; do
    [[ $target == x86* && $file == */arm/* ]] && continue
    object=$out/objects/$target$(tr '/.' '__' <<<"$file").o
    "$clang" --target="$target" -D__ARM_PCS_VFP=1 -mfpu=neon-vfpv4 -Qunused-arguments -w -O1 -DNDEBUG -D_GNU_SOURCE=1 -DCPUINFO_SUPPORTED_PLATFORM=1 -DCPUINFO_LOG_LEVEL=5 -DXNN_LOG_LEVEL=5 \
      -D_FILE_OFFSET_BITS=64 -DFXDIV_USE_INLINE_ASSEMBLY=0 -nostdlibinc "${includes[@]}" -isystem "$prefix/include" -isystem "$headers" -isystem /usr/include -c "$out/source/$file" -o "$object"
  done
  unknown=$("$nm" --undefined-only --format=just-symbols "$out/objects/$target"*.o | grep -v ':$' | sed '/^$/d' | sort -u |
    grep -vE '^(cpuinfo|xnn|pthreadpool)_|^__aeabi_|^_GLOBAL_OFFSET_TABLE_$' | grep -vxFf "$out/known" || true)
  [[ -z $unknown ]] || { echo "$target: not in Android's C library at API 24, nor in a library that is linked:"; echo "$unknown"; exit 1; }
  checked=$((checked + 1))
done
((checked > 0)) || { echo "no C library's headers are installed"; exit 1; }
echo "${#files[@]} files, for $checked targets"
