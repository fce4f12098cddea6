// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/reference.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"

namespace graft::test {
namespace {

void RequireOk(graft_status status, const graft_error& error) {
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
}

}  // namespace

std::string DataPath(const std::string& name) { return std::string(GRAFT_TEST_DATA) + "/" + name; }

std::string ModelPath(const std::string& name) {
  return std::string(GRAFT_TEST_MODELS) + "/" + name + ".graft";
}

ModelPtr OpenModel(const std::string& name) {
  graft_model* model = nullptr;
  graft_error error = {};
  RequireOk(graft_model_open(ModelPath(name).c_str(), nullptr, &model, &error), error);
  return ModelPtr(model);
}

SessionPtr NewSession(graft_model* model, uint32_t threads, int32_t kv_format) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = threads;
  options.kv_format = kv_format;
  graft_session* session = nullptr;
  graft_error error = {};
  RequireOk(graft_session_create(model, &options, &session, &error), error);
  return SessionPtr(session);
}

std::vector<int32_t> Greedy(graft_session* session, const std::vector<int32_t>& prompt,
                            uint32_t count) {
  graft_error error = {};
  RequireOk(graft_session_reset(session, &error), error);
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = count;
  options.ignore_end = 1;
  std::vector<int32_t> ids, with_guesses;
  const auto collect = [](void* user, int32_t id, const char*, size_t) -> int32_t {
    if (id >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(id);
    return 0;
  };
  RequireOk(graft_session_generate(session, prompt.data(), prompt.size(), &options, collect, &ids,
                                   nullptr, &error),
            error);
  RequireOk(graft_session_reset(session, &error), error);
  options.speculate = 2;
  RequireOk(graft_session_generate(session, prompt.data(), prompt.size(), &options, collect,
                                   &with_guesses, nullptr, &error),
            error);
  CHECK(ids == with_guesses);
  return ids;
}

std::span<const graft_tensor> Forward(graft_session* session, const std::vector<int32_t>& ids) {
  graft_tensor input = {};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 1;
  input.shape[0] = static_cast<int64_t>(ids.size());
  input.data = ids.data();
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  RequireOk(graft_session_forward(session, &input, 1, &outputs, &count, &error), error);
  return {outputs, count};
}

std::vector<float> Logits(graft_session* session, const std::vector<int32_t>& ids) {
  const std::span<const graft_tensor> outputs = Forward(session, ids);
  REQUIRE(outputs.size() == 1);
  REQUIRE(outputs[0].rank == 2);
  REQUIRE(outputs[0].shape[0] == static_cast<int64_t>(ids.size()));
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  return {numbers, numbers + outputs[0].shape[0] * outputs[0].shape[1]};
}

std::vector<int32_t> Numbers::ids() const {
  std::vector<int32_t> result;
  for (const double value : values) result.push_back(static_cast<int32_t>(value));
  return result;
}

Numbers ReadNumbers(const std::string& file, const std::string& tensor) {
  auto checkpoint = converter::Checkpoint::Open(file);
  REQUIRE_MESSAGE(checkpoint.ok(), std::string(checkpoint.status().message()));
  const converter::TensorInfo* info = (*checkpoint)->Find(tensor);
  REQUIRE_MESSAGE(info != nullptr, file << " has no " << tensor);
  Numbers numbers;
  numbers.shape = info->shape;
  numbers.values.resize(static_cast<size_t>(info->rows() * info->row_elements()));
  const Status status = (*checkpoint)->ReadRows(tensor, 0, info->rows(), numbers.values);
  REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
  return numbers;
}

double Perplexity(graft_model* model, graft_session* session, const std::string& text_file,
                  size_t context, size_t max_tokens) {
  const std::string text = ReadFile(text_file);
  std::vector<int32_t> ids(text.size() + 16);
  size_t count = 0;
  graft_error error = {};
  RequireOk(graft_model_tokenize(model, text.data(), text.size(), 0, ids.data(), ids.size(), &count,
                                 &error),
            error);
  ids.resize(std::min(count, max_tokens));
  double sum = 0;
  size_t scored = 0;
  for (size_t begin = 0; begin < ids.size(); begin += context) {
    const size_t end = std::min(begin + context, ids.size());
    const std::vector<int32_t> window(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                      ids.begin() + static_cast<std::ptrdiff_t>(end));
    if (window.size() < 2) break;
    const std::vector<float> logits = Logits(session, window);
    const size_t vocabulary = logits.size() / window.size();
    for (size_t i = 0; i + 1 < window.size(); ++i) {
      const float* row = &logits[i * vocabulary];
      const double largest = *std::max_element(row, row + vocabulary);
      double total = 0;
      for (size_t j = 0; j < vocabulary; ++j) total += std::exp(row[j] - largest);
      sum += largest + std::log(total) - row[window[i + 1]];
      ++scored;
    }
  }
  REQUIRE(scored > 0);
  return std::exp(sum / static_cast<double>(scored));
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

double LargestDifference(const std::vector<float>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

double LargestMagnitude(const std::vector<double>& b) {
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  return largest;
}

double Cosine(const std::vector<float>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace graft::test
