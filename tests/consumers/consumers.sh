#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs graft into a folder of its own, moves that folder, and builds programs against it as others would: in C99 and C++, static and
# shared, by CMake and by pkg-config. Each prints the published greedy tokens of stories260k. The libraries export the header's
# functions and nothing else. The programs of examples/ are built likewise, and print what graft-run prints.
#   consumers.sh CMAKE BUILD SOURCE MODEL OUT CC CXX PROCESSOR [EMULATOR...]
# GRAFT_JAVA, GRAFT_JAVAC, GRAFT_JNI, GRAFT_CLASSES: programs, library and class path of the example in Java; unset: there is no JDK.
# EMULATOR: the compilers are for another machine, whose PROCESSOR CMake calls so. It finds that machine's libraries where Debian's cross
# compilers put them.
set -euo pipefail
cmake=$1 build=$2 source=$3 model=$4 out=$5 cc=$6 cxx=$7 processor=$8
shift 8
emulator=("$@") target=()
if (($# > 0)); then
  emulator+=(-L "/usr/$("$cc" -dumpmachine)")
  target=(-DCMAKE_SYSTEM_NAME=Linux "-DCMAKE_SYSTEM_PROCESSOR=$processor")
fi
nm=$("$cc" -print-prog-name=nm)
failed=0 passed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; failed=$((failed + 1)); fi
}
# says NEEDLE COMMAND...: fails, and says so.
says() {
  local printed
  if printed=$("${@:2}" 2>&1); then return 1; fi
  grep -qF "$1" <<<"$printed"
}
rm -rf "$out"
mkdir -p "$out"
"$cmake" --install "$build" --prefix "$out/first" >"$out/install.log"
mv "$out/first" "$out/installed"
lib=$(dirname "$(find "$out/installed" -name libgraft.a)")

# What is visible.
python3 - "$out/installed/include/graft" >"$out/declared.txt" <<'PYTHON'
import pathlib, re, sys
text = "".join(header.read_text() for header in pathlib.Path(sys.argv[1]).glob("*.h"))
print("\n".join(sorted(re.findall(r"GRAFT_API[^;(]*\s\*?(graft_\w+)\(", text))))
PYTHON
check "the header declares functions" grep -q '^graft_session_generate$' "$out/declared.txt"
"$nm" -D --defined-only --format=posix "$lib/libgraft.so" | awk '$2 != "A" {sub(/@.*/, "", $1); print $1}' | sort >"$out/shared.txt"
check "libgraft.so exports the header's functions" diff "$out/declared.txt" "$out/shared.txt"
"$nm" --defined-only --extern-only --format=posix "$lib/libgraft.a" | awk 'NF > 2 {print $1}' | sort >"$out/static.txt"
check "libgraft.a exports the header's functions" diff "$out/declared.txt" "$out/static.txt"
dynamic=$(readelf -d "$lib/libgraft.so")
check "libgraft.so has a name with its version" grep -q 'SONAME.*\[libgraft\.so\.[0-9]*\]' <<<"$dynamic"
check "libgraft.so needs system libraries only" \
  bash -c '! grep NEEDED <<<"$1" | grep -vE "lib(stdc\+\+|m|c|gcc_s|pthread|dl)\.so|ld-linux"' - "$dynamic"
check "libgraft.so is bound at once" grep -q BIND_NOW <<<"$dynamic"
check "its stack is not executable" bash -c 'readelf -lW "$1" | grep GNU_STACK | grep -q "RW "' - "$lib/libgraft.so"
for header in "$out"/installed/include/graft/*.h; do
  check "${header##*/} is C99" "$cc" -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c -I"$out/installed/include" "$header"
done

# What it gives.
python3 - "$source/tests/data/stories260k/golden_greedy.json" >"$out/golden.txt" <<'PYTHON'
import json, sys
golden = json.load(open(sys.argv[1]))
print("\n".join(map(str, golden["ids"][len(golden["prompt_ids"]):][:32])))
PYTHON
prints_tokens() { "${emulator[@]}" "$1" "$model" 1 2>&1 | diff "$out/golden.txt" -; }

"$cmake" -S "$source/tests/consumers/project" -B "$out/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$out/installed" "${target[@]}" \
  -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$out/cmake.log" 2>&1 || { cat "$out/cmake.log"; exit 1; }
"$cmake" --build "$out/cmake" >>"$out/cmake.log" 2>&1 || { cat "$out/cmake.log"; exit 1; }
for program in c_shared c_static cpp_shared cpp_static default; do
  check "CMake, $program" prints_tokens "$out/cmake/tokens_$program"
done
check "the shared program loads libgraft.so.N" bash -c 'readelf -d "$1" | grep -q "NEEDED.*libgraft\.so\.[0-9]"' - "$out/cmake/tokens_c_shared"
check "the static program does not" bash -c '! readelf -d "$1" | grep -q libgraft' - "$out/cmake/tokens_c_static"

if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$lib/pkgconfig
  for language in c cpp; do
    compile=("$cc" -std=c99 -x c "$source/tests/consumers/project/tokens.c" -x none)
    [[ $language == cpp ]] && compile=("$cxx" -std=c++11 "$source/tests/consumers/project/tokens.cc")
    "${compile[@]}" -o "$out/pc_${language}_shared" $(pkg-config --cflags --libs graft) -Wl,-rpath,"$lib"
    "${compile[@]}" -static -o "$out/pc_${language}_static" $(pkg-config --cflags --static --libs graft)
    check "pkg-config, $language shared" prints_tokens "$out/pc_${language}_shared"
    check "pkg-config, $language static" prints_tokens "$out/pc_${language}_static"
  done
else
  echo "FAIL there is no pkg-config"
  failed=$((failed + 1))
fi
# The examples, on a model with a tokenizer, and one with a chat template too.
tales=$source/tests/data/tales/base
installed_run() { "${emulator[@]}" "$out/installed/bin/$1" "${@:2}"; }
mkdir "$out/talker"
cp "$tales"/* "$out/talker/"
cp "$source/tests/data/chat/smollm2.jinja" "$out/talker/chat_template.jinja"
installed_run graft-convert convert --base "$out/talker" --quant int8 --quiet -o "$out/talker.graft"
prompt="Once upon a time"
installed_run graft-run generate "$out/talker.graft" --no-cache --prompt "$prompt" --max-tokens 40 >"$out/written.txt" 2>/dev/null
installed_run graft-run chat "$out/talker.graft" --no-cache --max-tokens 40 <<<"$prompt" >"$out/answered.txt" 2>/dev/null
check "graft-run writes something" test -s "$out/written.txt" -a -s "$out/answered.txt"
# writes EXPECTED COMMAND...: prints the text of the file EXPECTED, but for the end of its last line.
writes() { diff <(cat "$1"; [[ $(tail -c 1 "$1") == '' ]] || echo) <("${@:2}" 2>&1); }
for example in c:write cpp:chat; do
  folder=${example%:*} program=${example#*:}
  "$cmake" -S "$source/examples/$folder" -B "$out/example_$folder" -G Ninja -DCMAKE_PREFIX_PATH="$out/installed" "${target[@]}" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" \
    >"$out/example_$folder.log" 2>&1 && "$cmake" --build "$out/example_$folder" >>"$out/example_$folder.log" 2>&1 ||
    { cat "$out/example_$folder.log"; exit 1; }
done
check "examples/c writes as graft-run does" writes "$out/written.txt" "${emulator[@]}" "$out/example_c/write" "$out/talker.graft" "$prompt"
installed_run graft-convert convert --base "$out/talker" --adapter "$source/tests/data/tales/holmes" --pack-for "$out/talker.graft" --quiet -o "$out/holmes.graftpack"
installed_run graft-run generate "$out/talker.graft" --pack "$out/holmes.graftpack" --no-cache --prompt "$prompt" --max-tokens 40 >"$out/adapted.txt" 2>/dev/null
# as_one FILE...: what they hold, each ended by a line's end.
as_one() { for file; do echo "$(cat "$file")"; done; }
as_one "$out/written.txt" "$out/adapted.txt" "$out/adapted.txt" >"$out/switched.txt"
check "examples/c answers a message" test "$("${emulator[@]}" "$out/example_c/tools" "$out/talker.graft" "$prompt" 2>&1 | wc -c)" -gt 20
check "examples/c swaps adapters" writes "$out/switched.txt" "${emulator[@]}" "$out/example_c/adapters" "$out/talker.graft" "$prompt" \
  "$out/holmes.graftpack" "$out/holmes.graftpack"
check "examples/c says which pack is missing" says absent.graftpack "${emulator[@]}" "$out/example_c/adapters" "$out/talker.graft" "$prompt" \
  "$out/absent.graftpack"
check "examples/cpp answers as graft-run does" writes "$out/answered.txt" "${emulator[@]}" "$out/example_cpp/chat" "$out/talker.graft" "$prompt"
check "examples/c says what is wrong" says absent.graft "${emulator[@]}" "$out/example_c/write" "$out/absent.graft" "$prompt"
check "examples/cpp says what is wrong" says "no chat template" "${emulator[@]}" "$out/example_cpp/chat" "$model" "$prompt"
if [[ -n ${GRAFT_JAVAC:-} ]]; then
  "$GRAFT_JAVAC" -Xlint:all -Werror -cp "$GRAFT_CLASSES" -d "$out/example_java" "$source/examples/java/Write.java"
  check "examples/java writes as graft-run does" writes "$out/written.txt" "$GRAFT_JAVA" -cp "$GRAFT_CLASSES:$out/example_java" \
    -Djava.library.path="$(dirname "$GRAFT_JNI")" Write "$out/talker.graft" "$prompt"
fi
echo "$passed passed, $failed failed"
((failed == 0))
