#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the Kotlin sources, warnings being errors, and runs their tests on the JVM with its checks of native code on.
#   kotlin.sh JAVA KOTLIN_HOME LIBRARY CLASSES STAND_INS SOURCES TESTS MODELS
set -euo pipefail
java=$1 kotlin=$2/lib library=$3 classes=$4 stand_ins=$5 sources=$6 tests=$7 models=$8
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
libraries=$kotlin/kotlin-stdlib.jar:$kotlin/kotlinx-coroutines-core-jvm.jar

compile() {
  "$java" -cp "$kotlin/kotlin-compiler.jar:$libraries:$kotlin/kotlin-script-runtime.jar:$kotlin/kotlin-reflect.jar:$kotlin/kotlin-daemon-client.jar:$kotlin/annotations-13.0.jar" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect -Werror "$@"
}
compile -jvm-target 1.8 -Xexplicit-api=strict -cp "$libraries:$classes:$stand_ins" -d "$folder/kotlin" "$sources"
compile -jvm-target 11 -cp "$libraries:$classes:$stand_ins:$folder/kotlin" -d "$folder/tests" "$tests"
cd "$folder"
status=0
timeout 300 "$java" -Xcheck:jni -Xmx128m -ea -Djava.library.path="$(dirname "$library")" \
  -cp "$libraries:$classes:$stand_ins:$folder/kotlin:$folder/tests" dev.graft.test.FlowTestKt "$models" >out.txt 2>&1 || status=$?
cat out.txt
if grep -qE 'WARNING|Warning:|FATAL ERROR|exceeds capacity' out.txt; then
  echo "the JVM complains of native code"
  exit 1
fi
exit $status
