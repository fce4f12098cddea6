// SPDX-License-Identifier: Apache-2.0
// What calibration computes of a model is what transformers computes: the logits of decoder
// families, with whole texts and token by token. And what it writes is a model that runs.
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/calibrate/graph_runner.h"
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
