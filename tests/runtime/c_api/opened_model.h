// SPDX-License-Identifier: Apache-2.0
// A scripted model, opened through the C interface.
#pragma once

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {

struct OpenedModel {
  AlignedBytes file = ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9}, true);
  graft_model* handle = nullptr;
  OpenedModel() {
    REQUIRE(graft_model_open_memory(file.data(), file.size(), nullptr, &handle, nullptr) ==
            GRAFT_OK);
  }
  OpenedModel(const OpenedModel&) = delete;
  OpenedModel& operator=(const OpenedModel&) = delete;
  ~OpenedModel() { graft_model_destroy(handle); }
};

}  // namespace graft::test
