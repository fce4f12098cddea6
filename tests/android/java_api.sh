#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library's classes are Java 8 bytecode and refer to nothing outside of themselves but what API_LIST says Android 7.0 (API 24) has:
# classes and members, one a line, as javap writes them. A member that a class of ours inherits counts as "inherited.NAME:TYPE".
#   java_api.sh JAVAP CLASSES API_LIST
set -euo pipefail
javap=$1 classes=$2 list=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$classes"
mapfile -t files < <(find . -name '*.class' | sort)
((${#files[@]} > 10)) || { echo "no classes in $classes"; exit 1; }
"$javap" -v -p "${files[@]}" >"$folder/all"

versions=$(grep -oE '^ *major version: [0-9]+' "$folder/all" | sort -u)
[[ $versions == *" 52" && $versions != *$'\n'* ]] || { echo "not all classes are Java 8's: $versions"; exit 1; }

# Constants such as:  #7 = Methodref  #8.#9  // java/lang/Enum."<init>":(Ljava/lang/String;I)V
sed -nE 's#^ *\#[0-9]+ = (Class|Methodref|Fieldref|InterfaceMethodref) .*// *##p' "$folder/all" | sed 's/"//g' | sort -u >"$folder/constants"
# Declarations are followed by "descriptor: TYPE".
sed -nE -e 's/^.* ([A-Za-z0-9_$]+)(\(.*\).*|( = .*)?);$/\1/p; s/^ *descriptor: (.*)$/:\1/p; s/^  static \{\};$/<clinit>/p' "$folder/all" |
  awk '/^:/ { print name $0; next } { name = $0 }' | sort -u >"$folder/declared"
{
  grep -vE '^\[*L?dev/graft/|^\[+[BCDFIJSZ]$' "$folder/constants" | sed -E 's#^\[+L(.*);$#\1#'
  sed -nE 's#^dev/graft/[A-Za-z$]+\.([^<].*)$#\1#p' "$folder/constants" | sort -u | grep -vxFf "$folder/declared" | sed 's/^/inherited./'
} | sort -u >"$folder/used"
unknown=$(grep -vxFf <(grep -v '^#' "$list") "$folder/used" || true)
if [[ -n $unknown ]]; then
  echo "not in $list (does Android 7.0 have it? then add it):"
  echo "$unknown"
  exit 1
fi
(($(wc -l <"$folder/used") > 20)) || { echo "hardly any name was read"; exit 1; }
echo "$(wc -l <"$folder/used") names of Java's library, all known at API 24"
