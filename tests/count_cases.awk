# Counts test cases in a ctest LastTest.log and prints "PASSED FAILED". A ctest entry that prints a doctest summary, or a line
# "N passed, N failed", counts for that many cases; any other counts for one. An entry that failed counts at least one failure.
/^[0-9]+\/[0-9]+ Testing: / { passed = failed = cases = 0 }
/^\[doctest\] test cases:/ {
  line = $0
  gsub(/[^0-9|]/, "", line)
  split(line, part, "|")
  passed += part[2]; failed += part[3]; cases += part[1]
}
/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3; cases += $1 + $3 }
/^Test (Passed|Failed)\./ || /^Test (Pass|Fail) Reason:/ {
  good = ($2 ~ /^Pass/)
  if (cases == 0 && good) passed = 1
  if (!good && failed == 0) failed = 1
  total_passed += passed; total_failed += failed
}
END { print total_passed + 0, total_failed + 0 }
