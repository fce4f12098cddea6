// SPDX-License-Identifier: Apache-2.0
// Entry point of every test executable. GRAFT_TEST_SUITES names the suites to run, as doctest's
// --test-suite does: ctest fixes the arguments, and not every CPU runs all.
#include <cstdlib>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (const char* suites = std::getenv("GRAFT_TEST_SUITES")) {
    context.addFilter("test-suite", suites);
  }
  return context.run();
}
