#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every function of graft.h and its parts has a comment right before it with a line that gives its thread rule and, if it can fail, one
# that gives its errors; then the compiler warns of a status that is not looked at.
#   header_comments.sh FOLDER
set -euo pipefail
awk '
  FNR == 1 { last = 0 }
  /^\/\*/ { thread = errors = 0; inside = 1 }
  inside && /^ \* Thread   [A-Z]/ { thread = 1 }
  inside && /^ \* Errors   [A-Z]/ { errors = 1 }
  inside { last = FNR; if (/\*\/$/) inside = 0; next }
  /^GRAFT_API/ {
    ++functions
    if (last != FNR - 1) { print "no comment before: " $0; failed = 1; next }
    if (!thread) { print "no thread rule before: " $0; failed = 1 }
    if (/^GRAFT_API (GRAFT_MUST_CHECK )?graft_status( |$)/) {
      if (!errors) { print "no errors before: " $0; failed = 1 }
      if (!/^GRAFT_API GRAFT_MUST_CHECK graft_status/) { print "not GRAFT_MUST_CHECK: " $0; failed = 1 }
    }
  }
  END { if (functions < 30) { print functions " functions found"; failed = 1 } else print functions " functions"; exit failed }
' "$1"/*.h
