#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the Java tests with the JVM's own checks of native code on, in a small heap, and fails if the JVM had anything to say.
#   jvm.sh JAVA LIBRARY CLASSPATH MODELS DATA SANITIZER COMPILER
set -uo pipefail
java=$1 library=$2 classpath=$3 models=$4 data=$5 sanitizer=$6 compiler=$7
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

preload=()
if [[ $sanitizer == address ]]; then
  # The sanitizer has to be there before the JVM, which keeps its own signals. What the JVM leaves at its end is not ours to judge.
  preload=(env "LD_PRELOAD=$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) $("$compiler" -print-file-name=libstdc++.so)"
    "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:detect_leaks=0")
fi
"${preload[@]}" "$java" -Xcheck:jni -Xmx128m -Dfile.encoding=US-ASCII -Djava.library.path="$(dirname "$library")" \
  --add-opens java.base/java.io=ALL-UNNAMED -ea -cp "$classpath" dev.graft.test.Main "$models" "$data" "$folder" >out.txt 2>&1
status=$?
cat out.txt
if grep -qE 'WARNING|Warning:|FATAL ERROR|exceeds capacity' out.txt; then
  echo "the JVM complains of native code"
  exit 1
fi
exit $status
