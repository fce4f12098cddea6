// SPDX-License-Identifier: Apache-2.0
// What fuzz targets of the device work on: small models behind the C interface, a watch that ends
// what takes too long, and files in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <graft/graft.h>
#include "tests/support/model_builder.h"

namespace graft::fuzz {

/// A model over bytes in memory, and a session of one thread that may take 256 MiB. Either is null
/// if the library refuses it.
class OpenedModel {
 public:
  explicit OpenedModel(test::AlignedBytes bytes, const char* cache_folder = nullptr);
  ~OpenedModel();
  OpenedModel(const OpenedModel&) = delete;
  OpenedModel& operator=(const OpenedModel&) = delete;

  graft_model* model() const { return model_; }
  graft_session* session() const { return session_; }

 private:
  test::AlignedBytes bytes_;
  graft_model* model_ = nullptr;
  graft_session* session_ = nullptr;
};

/// While it lives, `session` is told every second to stop: an input that still takes longer than
/// libFuzzer's -timeout is a finding.
class Watch {
 public:
  explicit Watch(graft_session* session);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
};

/// A folder of this process's own, in memory where the system has such a place.
const std::string& Folder();

/// Replaces the file `name` of Folder(); its path.
std::string WriteFile(const std::string& name, std::span<const uint8_t> bytes);

/// A model that says 5 6 7 5 6 7 ..., with the tokenizer of stories260k.
test::AlignedBytes TextModel();

/// A Llama of int4 weights, which are packed, with keys and values.
test::AlignedBytes PackedModel();

}  // namespace graft::fuzz
