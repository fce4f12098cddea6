// SPDX-License-Identifier: Apache-2.0
// What calibration computes of a model is what transformers computes: the logits of decoder
// families, with whole texts and token by token. And what it writes is a model that runs.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "converter/calibrate/graph_runner.h"
#include "converter/calibrate/write_texts.h"
#include "converter/sensitivity/measure_sensitivity.h"
#include "converter/sensitivity/merged_numbers.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/e2e/reference.h"
#include "tests/support/slow_here.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using converter::Batch;
using converter::GraphRunner;

constexpr double kRelativeTolerance = 1e-4;
constexpr size_t kAll = std::numeric_limits<size_t>::max();

// The file's tensors, all of them f32.
class FloatModel {
 public:
  explicit FloatModel(const fs::path& file) : file_(file) {
    for (const schema::fb::Tensor* tensor : *file_.model().tensors()) {
      numbers_.push_back(file_.Floats(tensor->name()->string_view()));
    }
    for (const std::vector<float>& numbers : numbers_) tensors_.emplace_back(numbers);
  }
  const schema::fb::Graph& graph() const { return *file_.model().graph(); }
  const converter::TensorNumbers& tensors() const { return tensors_; }

 private:
  converter::LoadedModel file_;
  std::vector<std::vector<float>> numbers_;
  converter::TensorNumbers tensors_;
};

// Of each matrix what rounding it alone does to the logits of all rows that are looked at: every
// fourth.
double DirectDivergence(const FloatModel& model, size_t tensor, size_t width,
                        const converter::StoredFormat& format, const Batch& batch,
                        const fs::path& scratch) {
  std::vector<float> rounded(model.tensors()[tensor].size());
  REQUIRE(converter::RoundNumbers(model.tensors()[tensor], width, format, 1, rounded).ok());
  converter::TensorNumbers tensors = model.tensors();
  std::vector<std::vector<float>> logits;
  for (const bool rounds : {false, true}) {
    if (rounds) tensors[tensor] = rounded;
    GraphRunner runner(model.graph(), tensors, {scratch, 1});
    REQUIRE(runner.Run(batch, {}, kAll).ok());
    const size_t vocabulary = runner.output().size() / batch.rows();
    logits.emplace_back();
    for (size_t row = 3; row < batch.rows(); row += 4) {
      const auto one = runner.output().subspan(row * vocabulary, vocabulary);
      logits.back().insert(logits.back().end(), one.begin(), one.end());
    }
  }
  const size_t vocabulary = logits[0].size() / (batch.rows() / 4);
  return converter::MeanDivergence(logits[0], logits[1], vocabulary, 1);
}

// Whether the family can be calibrated; if so, checks its logits.
bool CheckFamily(const FloatModel& model, const std::string& io, const fs::path& scratch) {
  if (!GraphRunner::Check(model.graph()).ok()) return false;
  const std::vector<int32_t> ids = ReadNumbers(io, "input_ids").ids();
  const std::vector<double> expected = ReadNumbers(io, "logits").values;
  const double tolerance = kRelativeTolerance * LargestMagnitude(expected);
  GraphRunner runner(model.graph(), model.tensors(), {scratch, 1});
  REQUIRE(runner.Run(Batch{1, ids.size(), 0, ids.size(), ids.data()}, {}, kAll).ok());
  const std::vector<float> logits(runner.output().begin(), runner.output().end());
  CHECK(LargestDifference(logits, expected) <= tolerance);
  // Two texts alike, token by token.
  GraphRunner stepper(model.graph(), model.tensors(), {scratch, 1});
  REQUIRE(stepper.KeepPast(2, ids.size()).ok());
  const size_t vocabulary = logits.size() / ids.size();
  for (size_t t = 0; t < ids.size(); ++t) {
    const int32_t both[] = {ids[t], ids[t]};
    REQUIRE(stepper.Run(Batch{2, 1, t, ids.size(), both}, {}, kAll).ok());
    for (size_t i = 0; i < 2 * vocabulary; ++i) {
      const double difference =
          double{stepper.output()[i]} - double{logits[t * vocabulary + i % vocabulary]};
      if (std::fabs(difference) > tolerance) FAIL("token ", t, ": off by ", difference);
    }
  }
  return true;
}

TEST_SUITE("e2e/calibration") {
  TEST_CASE("what is computed is what transformers computes") {
    const converter::TemporaryFolder scratch;
    int families = 0;
    for (const std::string name :
         {"llama", "llama_rope_llama3", "mistral_sliding", "qwen2", "qwen3", "olmo2", "granite",
          "phi3", "gemma2", "gemma3", "gpt2", "opt", "gpt_neox"}) {
      CAPTURE(name);
      const FloatModel model(ModelPath("architecture-" + name + "-f32"));
      CHECK(CheckFamily(model, DataPath("architectures/" + name + "/io.safetensors"),
                        scratch.path()));
      ++families;
    }
    CHECK(families == 13);
  }

  TEST_CASE("also of the dense decoders") {
    if (kSomeOfAll) return;  // the files that e2e_make_models writes are the same on every CPU
    const converter::TemporaryFolder scratch;
    int families = 0;
    for (const std::string& name : converter::NamesIn(converter::TestData("decoders"))) {
      const fs::path folder = converter::TestData("decoders/" + name);
      if (!fs::is_directory(folder)) continue;
      CAPTURE(name);
      const fs::path file = scratch.path() / "model.graft";
      REQUIRE(converter::ConvertModel({folder, {}, {}, file}).ok());
      if (CheckFamily(FloatModel(file), (folder / "io.safetensors").string(), scratch.path()))
        ++families;
    }
    CHECK(families >= 36);
  }

  TEST_CASE("the same bytes with one thread and with two, other than plain rounding's") {
    const converter::TemporaryFolder folder;
    std::vector<std::string> files;
    for (const int threads : {1, 2, 0}) {
      converter::ConvertRequest request;
      request.base = DataPath(kIsSlow ? "architectures/llama" : "tales/base");
      request.format = {converter::StorageKind::kInt4Block, 32};
      request.output = folder.path() / "model.graft";
      request.threads = threads == 0 ? 1 : threads;
      if (threads != 0) request.calibration = {2, 16, 7};
      const auto outcome = converter::ConvertModel(request);
      REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
      CHECK(outcome->calibrated_matrices == (threads == 0 ? 0 : kIsSlow ? 22 : 42));
      files.push_back(ReadFile(request.output.string()));
    }
    CHECK(files[0] == files[1]);
    CHECK(files[0].size() > files[2].size() - 4096);
    CHECK(files[0] != files[2]);
  }

  TEST_CASE("what a matrix costs is about what rounding it alone does to the logits") {
    const converter::TemporaryFolder scratch;
    constexpr converter::StoredFormat kFormat{converter::StorageKind::kInt4Block, 32};
    for (const std::string name : {"llama", "gemma2", "gpt2"}) {
      CAPTURE(name);
      const converter::LoadedModel file(ModelPath("architecture-" + name + "-f32"));
      const FloatModel model(ModelPath("architecture-" + name + "-f32"));
      std::vector<converter::Constant> constants;
      std::vector<converter::Scratch> numbers;
      std::vector<converter::StoredFormat> rounding;
      for (const schema::fb::Tensor* tensor : *file.model().tensors()) {
        converter::Constant constant;
        constant.name = tensor->name()->str();
        for (const auto side : *tensor->shape())
          constant.shape.push_back(static_cast<int64_t>(side));
        const bool fits = constant.shape.size() == 2 && constant.shape[1] % 32 == 0;
        rounding.push_back(fits ? kFormat : converter::StoredFormat{});
        const auto from = model.tensors()[constants.size()];
        numbers.push_back(converter::Scratch::InMemory(from.size()));
        std::copy(from.begin(), from.end(), numbers.back().numbers().begin());
        constants.push_back(std::move(constant));
      }
      converter::MeasuredTexts texts{2, 8, {}};
      for (int32_t i = 0; i < 16; ++i) texts.ids.push_back((i * 7 + 3) % 50);
      const auto costs = converter::MeasureSensitivity(model.graph(), constants, numbers, rounding,
                                                       texts, {scratch.path(), 1, 4});
      REQUIRE_MESSAGE(costs.ok(), costs.status().message());
      double measured = 0, direct = 0;
      int compared = 0;
      for (size_t i = 0; i < costs->size(); i += kIsSlow ? 5 : 1) {
        if ((*costs)[i] <= 0) continue;
        const auto width = static_cast<size_t>(constants[i].shape[1]);
        const double alone = DirectDivergence(model, i, width, kFormat,
                                              Batch{2, 8, 0, 8, texts.ids.data()}, scratch.path());
        CAPTURE(constants[i].name);
        CHECK((*costs)[i] < 4 * alone + 1e-6);
        CHECK((*costs)[i] > alone / 4 - 1e-6);
        measured += (*costs)[i];
        direct += alone;
        ++compared;
      }
      CHECK(compared >= 2);
      CHECK(measured == doctest::Approx(direct).epsilon(0.3));
    }
  }

  TEST_CASE("bits are kept to, and the same bytes with one thread and with two") {
    const converter::TemporaryFolder folder;
    std::vector<std::string> files;
    for (const int threads : {1, 2}) {
      converter::ConvertRequest request;
      request.base = DataPath(kIsSlow ? "architectures/llama" : "tales/base");
      request.format = {converter::StorageKind::kInt4Block, 32};
      request.output = folder.path() / "model.graft";
      request.threads = threads;
      request.bits = 6.0;
      const auto outcome = converter::ConvertModel(request);
      REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
      REQUIRE(outcome->mixed.has_value());
      uint64_t bytes = 0;
      for (const converter::FormatTotal& total : outcome->formats) bytes += total.bytes;
      const converter::LoadedModel model(request.output);
      uint64_t numbers = 0;
      for (const schema::fb::Tensor* tensor : *model.model().tensors()) {
        uint64_t count = 1;
        for (const auto side : *tensor->shape()) count *= side;
        numbers += count;
      }
      const double bits = 8.0 * static_cast<double>(bytes) / static_cast<double>(numbers);
      CHECK(bits == doctest::Approx(outcome->mixed->bits));
      CHECK(bits <= 6.0);
      CHECK(bits > 5.5);
      const std::vector<converter::CurvePoint>& curve = outcome->mixed->curve;
      CHECK(curve.size() > 4);
      for (size_t i = 1; i < curve.size(); ++i) {
        CHECK(curve[i].divergence <= curve[i - 1].divergence);
      }
      files.push_back(ReadFile(request.output.string()));
    }
    CHECK(files[0] == files[1]);
  }

  TEST_CASE("texts in a chat's frame hold questions and answers where they belong") {
    const converter::TemporaryFolder scratch;
    const converter::LoadedModel file(ModelPath("architecture-llama-f32"));
    const FloatModel model(ModelPath("architecture-llama-f32"));
    constexpr size_t kTexts = 3, kTokens = 160;
    GraphRunner runner(model.graph(), model.tensors(), {scratch.path(), 1});
    const converter::TextPlan plan{kTexts, kTokens, 5, {{7, 8, 9}, {11, 12}}};
    const auto ids = converter::WriteTexts(file.model(), &runner, plan, 1, {});
    REQUIRE(ids.ok());
    const auto* ends = file.model().task()->end_tokens();
    for (size_t text = 0; text < kTexts; ++text) {
      const std::vector<int32_t> one(ids->begin() + static_cast<ptrdiff_t>(text * kTokens),
                                     ids->begin() + static_cast<ptrdiff_t>((text + 1) * kTokens));
      CHECK(std::vector<int32_t>(one.begin(), one.begin() + 3) == std::vector<int32_t>{7, 8, 9});
      // A question has at most 96 tokens; then the answer's frame stands behind it.
      size_t answer = 3;
      while (answer + 1 < kTokens && !(one[answer] == 11 && one[answer + 1] == 12)) ++answer;
      CHECK(answer <= 3 + 96);
      // An answer's end is where the next conversation begins.
      for (size_t i = answer + 2; i + 3 < kTokens && ends != nullptr; ++i) {
        if (std::find(ends->begin(), ends->end(), static_cast<uint32_t>(one[i])) == ends->end()) {
          continue;
        }
        CHECK(std::vector<int32_t>(one.begin() + static_cast<ptrdiff_t>(i) + 1,
                                   one.begin() + static_cast<ptrdiff_t>(i) + 4) ==
              std::vector<int32_t>{7, 8, 9});
        break;
      }
    }
    const auto again = converter::WriteTexts(file.model(), &runner, plan, 2, {});
    REQUIRE(again.ok());
    CHECK(*again == *ids);
  }

  // Two models are calibrated on as many positions as it takes to drown an adapter.
  TEST_CASE("an adapter that int4 drowns in what a calibrated matrix puts out keeps int8" *
            doctest::skip(kIsSlow)) {
    const converter::TemporaryFolder folder;
    converter::ConvertRequest request;
    request.base = DataPath("tales/base");
    request.adapter = DataPath("tales/holmes");
    request.adapter_weight = 0.02;  // next to nothing
    request.format = {converter::StorageKind::kInt4Block, 32};
    request.output = folder.path() / "model.graft";
    request.calibration = {1, 32, 7};
    for (const bool keeps : {false, true}) {
      request.keep_delta = keeps;
      const auto outcome = converter::ConvertModel(request);
      REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
      size_t drowned = 0, kept = 0, adapted = 0;
      for (const converter::LayerOutcome& layer : outcome->layers) {
        if (!layer.adapted) continue;
        ++adapted;
        CHECK(layer.output_noise.outputs > 0);
        const double noise = layer.output_noise.NoiseRatio();
        if (noise > 1) ++drowned;
        if (layer.kept_delta) ++kept;
        CHECK(layer.kept_delta == (layer.format.kind == converter::StorageKind::kInt8PerChannel));
        CHECK(std::fabs(layer.output_noise.Correlation()) <= 1.0);
      }
      CHECK(adapted == 42);
      CHECK((keeps ? kept : drowned) > adapted / 2);
      if (keeps) CHECK(drowned <= adapted - kept);
    }
  }

  TEST_CASE("what calibration does not compute is refused by name") {
    const converter::TemporaryFolder folder;
    converter::ConvertRequest request;
    request.base = DataPath("architectures/bert_encoder");
    request.format = {converter::StorageKind::kInt4Block, 32};
    request.output = folder.path() / "model.graft";
    request.calibration = {2, 16, 7};
    const auto outcome = converter::ConvertModel(request);
    CHECK(outcome.status().code() == StatusCode::kUnsupported);
    CHECK(std::string(outcome.status().message()).find("text") != std::string::npos);
    CHECK(converter::NamesIn(folder.path()).empty());
  }
}

}  // namespace
}  // namespace graft::test
