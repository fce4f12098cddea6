// SPDX-License-Identifier: Apache-2.0
// What updates work out once, and how long it is kept.
#include "converter/merge/updates/workspace.h"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace graft::converter {
namespace {

// A matrix of `value` that counts how often it was worked out.
struct Counted {
  explicit Counted(double value)
      : matrix(3, [this, value](std::span<double> out) {
          ++times;
          std::fill(out.begin(), out.end(), value);
          return OkStatus();
        }) {}

  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  PreparedMatrix matrix;
  int times = 0;
};

std::vector<double> Values(Workspace* workspace, const Counted& counted) {
  const auto values = workspace->Get(counted.matrix);
  REQUIRE(values.ok());
  return {values->begin(), values->end()};
}

TEST_SUITE("converter/workspace") {
  TEST_CASE("works each matrix out once, and keeps it where it is") {
    Workspace workspace;
    Counted first(1);
    const auto early = workspace.Get(first.matrix);
    REQUIRE(early.ok());
    std::deque<Counted> others;
    for (int i = 0; i < 50; ++i) {
      others.emplace_back(2 + i);
      CHECK(Values(&workspace, others.back()) == std::vector<double>(3, 2 + i));
    }
    CHECK(std::vector<double>(early->begin(), early->end()) == std::vector<double>(3, 1));
    CHECK(Values(&workspace, first) == std::vector<double>(3, 1));
    CHECK(first.times == 1);
  }

  TEST_CASE("tries again what could not be worked out") {
    int times = 0;
    const PreparedMatrix matrix(1, [&times](std::span<double> out) {
      out[0] = 5;
      return ++times == 1 ? Status(StatusCode::kIo, "not now") : OkStatus();
    });
    Workspace workspace;
    CHECK(workspace.Get(matrix).status().code() == StatusCode::kIo);
    const auto second = workspace.Get(matrix);
    REQUIRE(second.ok());
    CHECK((*second)[0] == 5);
    CHECK(times == 2);
  }

  TEST_CASE("a pool gives a tensor the workspace it had, and forgets what was unused for longest") {
    WorkspacePool pool;
    std::deque<Counted> matrices;
    for (int i = 0; i < 20; ++i) matrices.emplace_back(i);
    const auto read = [&](size_t tensor) {
      WorkspacePool::Lease lease(&pool, std::to_string(tensor));
      CHECK(Values(lease.workspace(), matrices[tensor]) ==
            std::vector<double>(3, static_cast<double>(tensor)));
    };
    for (int block = 0; block < 3; ++block) {
      for (const size_t tensor : {0, 1}) read(tensor);
    }
    CHECK(matrices[0].times == 1);
    CHECK(matrices[1].times == 1);
    for (size_t tensor = 2; tensor < 20; ++tensor) read(tensor);
    read(19);
    CHECK(matrices[19].times == 1);
    read(0);
    CHECK(matrices[0].times == 2);
  }

  TEST_CASE("two readers of one tensor have a workspace each") {
    WorkspacePool pool;
    Counted counted(1);
    {
      WorkspacePool::Lease one(&pool, "w");
      WorkspacePool::Lease other(&pool, "w");
      CHECK(one.workspace() != other.workspace());
      Values(one.workspace(), counted);
      Values(other.workspace(), counted);
    }
    CHECK(counted.times == 2);
    WorkspacePool::Lease one(&pool, "w");
    WorkspacePool::Lease other(&pool, "w");
    Values(one.workspace(), counted);
    Values(other.workspace(), counted);
    CHECK(counted.times == 2);
  }
}

}  // namespace
}  // namespace graft::converter
