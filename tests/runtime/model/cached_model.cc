// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/model/cached_model.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <utility>

#include <doctest/doctest.h>

#include "runtime/platform/data_source.h"

namespace graft::test {

CacheFolder::CacheFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "graft-cache-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

CacheFolder::~CacheFolder() { std::filesystem::remove_all(path_); }

std::vector<std::string> CacheFolder::Files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const runtime::Model> OpenBytes(const AlignedBytes& file,
                                                const runtime::CacheSettings& cache,
                                                unsigned threads) {
  runtime::ModelOptions options;
  options.threads = threads;
  options.cache = cache;
  auto model = runtime::Model::Open(std::make_unique<runtime::MemorySource>(file.span()), options);
  REQUIRE_MESSAGE(model.ok(), std::string(model.status().message()));
  return std::move(model).value();
}

LinearModel::LinearModel(uint32_t seed, Change change, size_t out_features, size_t in_features)
    : in_features_(in_features) {
  std::mt19937 random(seed);
  std::vector<uint8_t> codes(out_features * in_features);
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % 255 - 127);
  std::vector<float> scales(out_features);
  std::vector<float> biases(out_features);
  for (size_t i = 0; i < out_features; ++i) {
    scales[i] = 0.01f + 0.001f * static_cast<float>(i);
    biases[i] = static_cast<float>(i) - 3.5f;
  }
  if (change == Change::kScale) scales.back() *= 2.0f;
  if (change == Change::kBias) biases.back() += 1.0f;

  GraphMaker graph(seed);
  Weight weight;
  weight.numbers = Numbers::Zeros(out_features, in_features);
  weight.tensor = graph.builder().Tensor(
      "weight", fb::TensorFormat::Int8PerChannel,
      {static_cast<int64_t>(out_features), static_cast<int64_t>(in_features)}, codes,
      {reinterpret_cast<const uint8_t*>(scales.data()), scales.size() * sizeof(float)});
  Weight bias;
  if (change != Change::kNoBias) {
    bias.tensor = graph.builder().FloatTensor("bias", {static_cast<int64_t>(out_features)}, biases);
  }
  graph.Output(graph.Linear(graph.TensorInput("x", static_cast<int64_t>(in_features)), weight,
                            change == Change::kNoBias ? nullptr : &bias));
  graph.Open(1);
  file_ = AlignedBytes(graph.file().span());
}

std::vector<float> LinearModel::Run(const std::shared_ptr<const runtime::Model>& model) const {
  std::mt19937 random(5);
  const Numbers output = ForwardNumbers(*NewSession(model, {.threads = 1}),
                                        RandomFloats(random, 3 * in_features_), in_features_);
  return {output.at.begin(), output.at.end()};
}

}  // namespace graft::test
