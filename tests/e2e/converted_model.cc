// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/converted_model.h"

#include <utility>

#include <doctest/doctest.h>

#include "tests/converter/lower/converted_file.h"

namespace graft::test {

namespace fs = std::filesystem;

std::vector<std::string> FixturesIn(const std::string& folder, size_t count) {
  const fs::path path = converter::TestData(folder);
  std::vector<std::string> names;
  for (const std::string& name : converter::NamesIn(path)) {
    if (fs::is_directory(path / name)) names.push_back(name);
  }
  REQUIRE(names.size() == count);
  return names;
}

ConvertedModel::ConvertedModel(fs::path folder, const converter::StoredFormat& format,
                               const fs::path& base)
    : folder_(std::move(folder)) {
  const fs::path file = output("model.graft");
  const auto outcome = converter::ConvertModel({base.empty() ? folder_ : base, {}, format, file});
  REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
  graft_model* model = nullptr;
  graft_error error = {};
  REQUIRE_MESSAGE(graft_model_open(file.c_str(), nullptr, &model, &error) == GRAFT_OK,
                  std::string(error.message));
  model_.reset(model);
}

Numbers ConvertedModel::Read(const std::string& tensor) const {
  return ReadNumbers((folder_ / "io.safetensors").string(), tensor);
}

SessionPtr ChunkedSession(graft_model* model, const ChunkOptions& chunk) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = chunk.threads;
  options.prefill_chunk = chunk.prefill_chunk;
  if (chunk.context_tokens != 0) options.context_tokens = chunk.context_tokens;
  graft_session* session = nullptr;
  graft_error error = {};
  REQUIRE_MESSAGE(graft_session_create(model, &options, &session, &error) == GRAFT_OK,
                  std::string(error.message));
  return SessionPtr(session);
}

std::vector<float> AppendedLogits(graft_session* session, const std::vector<int32_t>& ids,
                                  size_t from, size_t vocabulary) {
  const float* logits = nullptr;
  graft_error error = {};
  const graft_status status =
      graft_session_append(session, ids.data() + from, ids.size() - from, &logits, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  return {logits, logits + vocabulary};
}

}  // namespace graft::test
