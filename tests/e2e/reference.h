// SPDX-License-Identifier: Apache-2.0
// What the end-to-end tests compare with: models made by make_models.sh, references stored beside
// the fixtures.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace graft::test {

struct ModelDeleter {
  void operator()(graft_model* model) const { graft_model_destroy(model); }
};
struct SessionDeleter {
  void operator()(graft_session* session) const { graft_session_destroy(session); }
};
using ModelPtr = std::unique_ptr<graft_model, ModelDeleter>;
using SessionPtr = std::unique_ptr<graft_session, SessionDeleter>;

/// GRAFT_TEST_DATA/name.
std::string DataPath(const std::string& name);
/// The file that make_models.sh made under this name.
std::string ModelPath(const std::string& name);

/// These fail the running test with the error's message.
ModelPtr OpenModel(const std::string& name);
SessionPtr NewSession(graft_model* model, uint32_t threads = 2, int32_t kv_format = GRAFT_KV_AUTO);

/// Greedy ids: `count` of them after `prompt`, going on past end tokens. They must be
/// the same if tokens are guessed.
std::vector<int32_t> Greedy(graft_session* session, const std::vector<int32_t>& prompt,
                            uint32_t count);

/// What forward gives for `ids`. It belongs to the session until its next call.
std::span<const graft_tensor> Forward(graft_session* session, const std::vector<int32_t>& ids);
/// Logits [ids, vocabulary] of one forward from position 0.
std::vector<float> Logits(graft_session* session, const std::vector<int32_t>& ids);

/// A tensor of a safetensors file, as numbers.
struct Numbers {
  std::vector<int64_t> shape;
  std::vector<double> values;
  std::vector<int32_t> ids() const;
};
Numbers ReadNumbers(const std::string& file, const std::string& tensor);

/// exp of the mean negative log-likelihood of a text's first `max_tokens` tokens: windows of
/// `context` tokens, each from position 0, first tokens unscored.
double Perplexity(graft_model* model, graft_session* session, const std::string& text_file,
                  size_t context, size_t max_tokens = SIZE_MAX);

std::string ReadFile(const std::string& path);

/// The largest |a - b|; the test fails if the lengths differ.
double LargestDifference(const std::vector<float>& a, const std::vector<double>& b);
/// The largest |b|.
double LargestMagnitude(const std::vector<double>& b);
/// Of the angle between a and b; the test fails if the lengths differ.
double Cosine(const std::vector<float>& a, const std::vector<double>& b);

}  // namespace graft::test
