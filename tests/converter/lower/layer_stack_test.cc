// SPDX-License-Identifier: Apache-2.0
// Plain stacks of layers: their description, what is guessed without one, and factors that lie
// beside their matrix.
#include "converter/lower/layer_stack/layer_stack.h"

#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

std::string ReadFailure(std::string_view text) {
  const auto document = JsonDocument::Parse(text, "graft.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  return std::string(ReadLayerStack(**document).status().message());
}

// y = W x + B (A x) summed in float64.
std::vector<double> Apply(const SmallTensors& t, double scale) {
  std::vector<double> merged = t.at("W").values;
  const auto& a = t.at("A");
  const auto& b = t.at("B");
  const auto rank = static_cast<size_t>(a.shape[0]);
  const auto columns = static_cast<size_t>(a.shape[1]);
  for (size_t i = 0; i < merged.size(); ++i) {
    double sum = 0;
    for (size_t k = 0; k < rank; ++k) {
      sum += b.values[i / columns * rank + k] * a.values[k * columns + i % columns];
    }
    merged[i] += scale * sum;
  }
  return merged;
}

SmallTensors OneLoraLayer() {
  return {{"W", RandomTensor({6, 5}, 1)},
          {"A", RandomTensor({2, 5}, 2)},
          {"B", RandomTensor({6, 2}, 3)}};
}

void CheckMerged(const std::filesystem::path& folder, const SmallTensors& tensors, double scale) {
  TemporaryFolder output;
  const auto outcome = ConvertModel({folder, {}, {}, output / "m.graft"});
  REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
  CHECK(outcome->layers.size() == 1);
  CHECK(outcome->layers[0].adapted);
  CHECK(outcome->layers[0].change.scale == scale);
  const std::vector<float> stored = LoadedModel(output / "m.graft").Floats("W");
  const std::vector<double> expected = Apply(tensors, scale);
  REQUIRE(stored.size() == expected.size());
  for (size_t i = 0; i < stored.size(); ++i) CHECK(stored[i] == static_cast<float>(expected[i]));
}

}  // namespace

TEST_SUITE("converter/layer_stack") {
  TEST_CASE("reads a description") {
    const auto document = JsonDocument::Parse(R"({"kind": "linear-stack", "input": "x", "layers": [
        {"weight": "a", "bias": "b", "activation": "relu"},
        {"weight": "W", "lora": {"a": "A", "b": "B", "alpha": 10}}]})",
                                              "graft.json");
    REQUIRE(document.ok());
    const auto stack = ReadLayerStack(**document);
    REQUIRE_MESSAGE(stack.ok(), stack.status().message());
    CHECK(stack->input == "x");
    CHECK(stack->output == "output");
    REQUIRE(stack->layers.size() == 2);
    CHECK(stack->layers[0].bias == "b");
    CHECK(stack->layers[0].activation == "relu");
    CHECK_FALSE(stack->layers[0].lora);
    CHECK(stack->layers[1].lora->ScaleFor(4) == 2.5);
  }

  TEST_CASE("refuses descriptions that it would have to guess at") {
    CHECK(ReadFailure(R"({"layers": []})").find("'kind'") != std::string::npos);
    CHECK(ReadFailure(R"({"kind": "conv-stack", "layers": [{"weight": "W"}]})") ==
          "graft.json: 'kind' is \"conv-stack\"; this version knows linear-stack, layer-stack");
    CHECK(ReadFailure(R"({"kind": "linear-stack", "layers": []})").find("has 0 layers") !=
          std::string::npos);
    CHECK(ReadFailure(R"({"kind": "linear-stack", "layers": [{"wieght": "W"}]})") ==
          "graft.json: 'layers[0].wieght' is not a member that is known here; these are: weight, "
          "bias, activation, lora");
    CHECK(ReadFailure(
              R"({"kind": "linear-stack", "layers": [{"weight": "W", "activation": "sine"}]})")
              .find("'layers[0].activation' is \"sine\"; this version knows silu") !=
          std::string::npos);
    CHECK(ReadFailure(R"({"kind": "linear-stack", "layers": [{"weight": "W",
        "lora": {"a": "A", "b": "B", "alpha": 1, "scale": 1}}]})")
              .find("both alpha and scale") != std::string::npos);
  }

  TEST_CASE("guesses a single layer from the names of its tensors, and nothing else") {
    TemporaryFolder folder;
    const auto guess = [&](SmallTensors tensors) {
      WriteTensors(folder / "model.safetensors", tensors);
      const auto source = Checkpoint::Open(folder.path());
      REQUIRE(source.ok());
      return GuessLayerStack(**source);
    };
    const auto lora = guess(OneLoraLayer());
    REQUIRE(lora);
    CHECK(lora->layers[0].weight == "W");
    CHECK(lora->layers[0].lora->ScaleFor(2) == 1.0);
    CHECK(guess({{"weight", RandomTensor({2, 3}, 1)}, {"bias", RandomTensor({2}, 1)}}));
    CHECK_FALSE(guess({{"W", RandomTensor({2, 3}, 1)}, {"A", RandomTensor({1, 3}, 1)}}));
    CHECK_FALSE(guess({{"W", RandomTensor({2, 3}, 1)}, {"V", RandomTensor({2, 3}, 1)}}));
    CHECK_FALSE(guess({{"fc1.weight", RandomTensor({2, 3}, 1)}}));
  }

  TEST_CASE("merges factors that lie beside their matrix") {
    const SmallTensors tensors = OneLoraLayer();
    TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", tensors);
    CheckMerged(folder.path(), tensors, 1.0);
    WriteText(folder / "graft.json", R"({"kind": "linear-stack", "layers": [
        {"weight": "W", "lora": {"a": "A", "b": "B", "alpha": 3}}]})");
    CheckMerged(folder.path(), tensors, 1.5);
    WriteText(folder / "graft.json", R"({"kind": "linear-stack", "layers": [
        {"weight": "W", "lora": {"a": "A", "b": "B", "scale": -0.25}}]})");
    CheckMerged(folder.path(), tensors, -0.25);
  }

  TEST_CASE("converts the plain LoRA layer to the merged matrix of its reference") {
    TemporaryFolder output;
    REQUIRE(ConvertModel({TestData("lora_layer"), {}, {}, output / "m.graft"}).ok());
    const std::vector<float> stored = LoadedModel(output / "m.graft").Floats("W");
    const auto layer = Checkpoint::Open(TestData("lora_layer/model.safetensors"));
    const auto reference = Checkpoint::Open(TestData("lora_layer/io.safetensors"));
    REQUIRE((layer.ok() && reference.ok()));
    const SmallTensors tensors = {{"W", {{100, 100}, ReadAll(**layer, "W")}},
                                  {"A", {{10, 100}, ReadAll(**layer, "A")}},
                                  {"B", {{100, 10}, ReadAll(**layer, "B")}}};
    const std::vector<double> exact = Apply(tensors, 1.0);
    const std::vector<double> merged = ReadAll(**reference, "merged");
    for (size_t i = 0; i < stored.size(); ++i) {
      REQUIRE(stored[i] == static_cast<float>(exact[i]));
      // NumPy's binary32 product of ten terms, each up to some tens.
      REQUIRE(std::fabs(stored[i] - merged[i]) < 1e-5);
    }
  }

  TEST_CASE("stacks layers with bias and activation, adapted or not") {
    TemporaryFolder output;
    const auto outcome = ConvertModel(
        {TestData("adapters/base_mlp"), TestData("adapters/mlp_100x10"), {}, output / "m.graft"});
    REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
    const LoadedModel model(output / "m.graft");
    const auto& ops = *model.model().graph()->ops();
    REQUIRE(ops.size() == 3);
    CHECK(ops.Get(0)->attributes_as_Linear()->bias() >= 0);
    CHECK(ops.Get(1)->attributes_as_Activation()->kind() == schema::fb::ActivationKind::Relu);
    CHECK(ops.Get(2)->name()->str() == "output");
    CHECK(model.model()
              .graph()
              ->values()
              ->Get(model.model().graph()->inputs()->Get(0)->value())
              ->name()
              ->str() == "input");
    CHECK(model.model().task()->kind() == schema::fb::TaskKind::Tensors);
  }

  TEST_CASE("names tensors that are missing or do not fit") {
    const auto failure = [](const SmallTensors& tensors, std::string_view description) {
      TemporaryFolder folder;
      TemporaryFolder output;
      WriteTensors(folder / "model.safetensors", tensors);
      WriteText(folder / "graft.json", description);
      const auto outcome = ConvertModel({folder.path(), {}, {}, output / "m.graft"});
      CHECK(outcome.status().code() == StatusCode::kMismatch);
      CHECK(NamesIn(output.path()).empty());
      return std::string(outcome.status().message());
    };
    const auto has = [](const std::string& text, std::string_view part) {
      return text.find(part) != std::string::npos;
    };
    const SmallTensors two = {{"a", RandomTensor({4, 3}, 1)}, {"b", RandomTensor({2, 5}, 2)}};
    CHECK(has(failure(two, R"({"kind": "linear-stack", "layers": [{"weight": "c"}]})"),
              "has no tensor 'c'"));
    CHECK(has(
        failure(two, R"({"kind": "linear-stack", "layers": [{"weight": "a"}, {"weight": "b"}]})"),
        "tensor 'b' takes 5 features, what it is applied to has 4"));
    CHECK(has(failure(two, R"({"kind": "linear-stack", "layers": [{"weight": "a", "bias": "b"}]})"),
              "tensor 'b' has shape [2, 5], the model needs [4]"));
    CHECK(has(failure(two, R"({"kind": "linear-stack", "layers": [
                  {"weight": "a", "lora": {"a": "b", "b": "a"}}]})"),
              "do not fit together"));
    CHECK(has(failure(two, R"({"kind": "linear-stack", "layers": [
                  {"weight": "a", "lora": {"a": "b", "b": "c"}}]})"),
              "has no tensor 'c', which graft.json names"));
  }

  TEST_CASE("says what is missing when nothing describes the tensors") {
    TemporaryFolder folder;
    TemporaryFolder output;
    WriteTensors(folder / "model.safetensors", {{"fc1.weight", RandomTensor({2, 3}, 1)}});
    const auto outcome = ConvertModel({folder.path(), {}, {}, output / "m.graft"});
    CHECK(outcome.status().code() == StatusCode::kNotFound);
    CHECK(std::string(outcome.status().message())
              .find("has neither config.json nor graft.json to say what the model computes") !=
          std::string::npos);
  }
}

}  // namespace graft::converter
