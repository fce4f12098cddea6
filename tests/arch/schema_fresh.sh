#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The committed schema/generated equals what flatc makes of the .fbs files. They are committed so that no other build needs flatc.
#   schema_fresh.sh REPOSITORY FLATC
set -euo pipefail
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
cd "$1/schema"
"$2" --cpp --scoped-enums --gen-compare -o "$made" ./*.fbs
diff -r generated "$made" || { echo "regenerate: cd schema && flatc --cpp --scoped-enums --gen-compare -o generated *.fbs"; exit 1; }
