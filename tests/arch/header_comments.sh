#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every function of graft.h has a comment right before it that gives its thread rule and, if it can fail, its errors.
#   header_comments.sh GRAFT_H
set -euo pipefail
awk '
  /^\/\*/ { comment = ""; inside = 1 }
  inside { comment = comment " " $0; last = NR; if (/\*\/$/) inside = 0; next }
  /^GRAFT_API/ {
    ++functions
    if (last != NR - 1) { print "no comment before: " $0; failed = 1; next }
    if (comment !~ /[Tt]hread/) { print "no thread rule before: " $0; failed = 1 }
    if ($2 == "graft_status" && comment !~ /[Ee]rrors/) { print "no errors before: " $0; failed = 1 }
  }
  END { if (functions < 30) { print functions " functions found"; failed = 1 } else print functions " functions"; exit failed }
' "$1"
