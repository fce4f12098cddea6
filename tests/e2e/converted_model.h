// SPDX-License-Identifier: Apache-2.0
// A fixture of tests/data as a test runs it: converted, opened, beside what its library computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "converter/write/write_model.h"
#include "tests/e2e/reference.h"
#include "tests/support/small_files.h"

namespace graft::test {

/// The folders in tests/data/`folder`. The test fails if there are not `count` of them.
std::vector<std::string> FixturesIn(const std::string& folder, size_t count);

/// These fail the running test with the error's message.
class ConvertedModel {
 public:
  /// folder: the fixture, with its io.safetensors. base: what is converted in its place, if any.
  explicit ConvertedModel(std::filesystem::path folder, const converter::StoredFormat& format = {},
                          const std::filesystem::path& base = {});

  graft_model* model() const { return model_.get(); }
  /// A tensor of the fixture's io.safetensors.
  Numbers Read(const std::string& tensor) const;
  const std::filesystem::path& folder() const { return folder_; }
  /// A file that goes away with this.
  std::filesystem::path output(const std::string& name) const { return output_ / name; }

 private:
  std::filesystem::path folder_;
  converter::TemporaryFolder output_;
  ModelPtr model_;
};

struct ChunkOptions {
  uint32_t prefill_chunk = 0;
  uint32_t threads = 1;
  uint32_t context_tokens = 0;  ///< 0: the model's.
};
SessionPtr ChunkedSession(graft_model* model, const ChunkOptions& chunk);

/// Logits [vocabulary] of the last of `ids`, which are appended from the one at `from` on.
std::vector<float> AppendedLogits(graft_session* session, const std::vector<int32_t>& ids,
                                  size_t from, size_t vocabulary);

}  // namespace graft::test
