// SPDX-License-Identifier: Apache-2.0
// Stacks of several kinds of layers: what becomes of their weights, and what does not fit.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "converter/lower/layer_stack/layer_stack.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

// A description of one input and these layers.
std::string Stack(const std::string& shape, const std::string& layers,
                  const std::string& more = "") {
  return R"({"kind": "layer-stack", "input": {"shape": )" + shape + "}, " + more +
         R"("layers": [)" + layers + "]}";
}

std::string ReadFailure(const std::string& text) {
  const auto document = JsonDocument::Parse(text, "graft.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  const auto stack = ReadLayerStack(**document);
  CHECK_FALSE(stack.ok());
  return std::string(stack.status().message());
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A folder with tensors and their description.
class StackFolder {
 public:
  StackFolder(const SmallTensors& tensors, const std::string& description) {
    WriteTensors(folder_ / "model.safetensors", tensors);
    WriteText(folder_ / "graft.json", description);
  }
  LoadedModel Convert() {
    const auto outcome = ConvertModel({folder_.path(), {}, {}, output_ / "m.graft"});
    REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
    return LoadedModel(output_ / "m.graft");
  }
  std::string Failure() {
    const auto outcome = ConvertModel({folder_.path(), {}, {}, output_ / "m.graft"});
    CHECK_FALSE(outcome.ok());
    CHECK(NamesIn(output_.path()).empty());
    return std::string(outcome.status().message());
  }

 private:
  TemporaryFolder folder_, output_;
};

// Variances, which are positive, as float32 holds them.
SmallTensor Squared(SmallTensor tensor) {
  for (double& number : tensor.values) number = static_cast<float>(number * number + 0.25);
  return tensor;
}

SmallTensors ConvolutionAndNorm() {
  return {{"c.weight", RandomTensor({4, 3, 2, 2}, 1)},
          {"c.bias", RandomTensor({4}, 2)},
          {"n.weight", RandomTensor({4}, 3)},
          {"n.bias", RandomTensor({4}, 4)},
          {"n.mean", RandomTensor({4}, 5)},
          {"n.var", Squared(RandomTensor({4}, 6))},
          {"l.weight", RandomTensor({5, 36}, 7)}};
}

const char* const kConv = R"({"type": "conv2d", "weight": "c.weight", "bias": "c.bias"})";
const char* const kNorm = R"({"type": "batch_norm", "weight": "n.weight", "bias": "n.bias",
    "running_mean": "n.mean", "running_var": "n.var", "eps": 0.001})";
const char* const kRest = R"({"type": "flatten"}, {"type": "linear", "weight": "l.weight"})";

std::string Layers(const std::vector<std::string>& layers) {
  std::string text;
  for (const std::string& layer : layers) text += (text.empty() ? "" : ", ") + layer;
  return text;
}

}  // namespace

TEST_SUITE("converter/layer_stack_ops") {
  TEST_CASE("a batch norm becomes part of the weights before it, rounded once") {
    const SmallTensors t = ConvolutionAndNorm();
    for (const bool has_bias : {true, false}) {
      const std::string conv = has_bias ? kConv : R"({"type": "conv2d", "weight": "c.weight"})";
      StackFolder folder(t, Stack("[3, 4, 4]", Layers({conv, kNorm, kRest})));
      const LoadedModel model = folder.Convert();
      const std::vector<float> kernels = model.Floats("c.weight");
      const std::vector<float> bias = model.Floats(has_bias ? "c.bias" : "c.weight.offset");
      for (size_t channel = 0; channel < 4; ++channel) {
        const auto at = [&](const char* name) { return t.at(name).values[channel]; };
        const double factor = at("n.weight") / std::sqrt(at("n.var") + 0.001);
        const double offset = at("n.bias") - at("n.mean") * factor;
        for (size_t i = channel * 12; i < channel * 12 + 12; ++i)
          CHECK(kernels[i] == static_cast<float>(t.at("c.weight").values[i] * factor));
        CHECK(bias[channel] ==
              static_cast<float>((has_bias ? at("c.bias") * factor : 0.0) + offset));
      }
      CHECK(model.model().graph()->ops()->size() == 4);  // patches, linear, flatten, linear
    }
  }

  TEST_CASE("a convolution in groups is stored without zeros between them") {
    const SmallTensors t = {{"w", RandomTensor({6, 2, 3}, 1)}};
    StackFolder folder(
        t, Stack("[4, 1, 9]", R"({"type": "conv1d", "weight": "w", "groups": 2, "padding": 1})"));
    const std::vector<float> matrix = folder.Convert().Floats("w");
    REQUIRE(matrix.size() == 6 * 6);
    for (size_t i = 0; i < matrix.size(); ++i)
      CHECK(matrix[i] == static_cast<float>(t.at("w").values[i]));
  }

  TEST_CASE("factors beside kernels are merged as beside matrices") {
    SmallTensors t = {{"w", RandomTensor({4, 3, 2, 2}, 1)}, {"A", RandomTensor({2, 3, 2, 2}, 2)}};
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{4, 2}, {4, 2, 1, 1}}) {
      t["B"] = RandomTensor(shape, 3);
      StackFolder folder(t, Stack("[3, 4, 4]", R"({"type": "conv2d", "weight": "w",
          "lora": {"a": "A", "b": "B", "scale": 0.5}})"));
      const std::vector<float> merged = folder.Convert().Floats("w");
      for (size_t i = 0; i < merged.size(); ++i) {
        double sum = 0;
        for (size_t k = 0; k < 2; ++k)
          sum += t["B"].values[i / 12 * 2 + k] * t["A"].values[k * 12 + i % 12];
        CHECK(merged[i] == static_cast<float>(t["w"].values[i] + 0.5 * sum));
      }
    }
    t["A"] = RandomTensor({2, 12}, 2);
    CHECK(Has(StackFolder(t, Stack("[3, 4, 4]", R"({"type": "conv2d", "weight": "w",
        "lora": {"a": "A", "b": "B"}})"))
                  .Failure(),
              "do not fit together"));
  }

  TEST_CASE("a kernel of one pixel needs no patches, and a flattened row no second flattening") {
    StackFolder folder({{"w", RandomTensor({5, 3, 1, 1}, 1)}, {"v", RandomTensor({2, 5, 1, 1}, 2)}},
                       Stack("[3, 4, 4]", R"({"type": "conv2d", "weight": "w"},
                           {"type": "conv2d", "weight": "v"}, {"type": "global_avg_pool"},
                           {"type": "flatten"}, {"type": "activation", "activation": "relu"})"));
    const LoadedModel model = folder.Convert();
    std::vector<fb::OpAttributes> kinds;
    for (const fb::Op* op : *model.model().graph()->ops()) kinds.push_back(op->attributes_type());
    using Kind = fb::OpAttributes;
    CHECK(kinds == std::vector<Kind>{Kind::Patches, Kind::Linear, Kind::Linear, Kind::PoolRows,
                                     Kind::Activation});
    CHECK(model.FindOp("output") != nullptr);
  }

  TEST_CASE("task, labels and how an image is prepared are written down") {
    TemporaryFolder output;
    REQUIRE(ConvertModel({TestData("layer_stacks/classifier"), {}, {}, output / "m.graft"}).ok());
    const LoadedModel model(output / "m.graft");
    const fb::Task& task = *model.model().task();
    CHECK(task.kind() == fb::TaskKind::Classification);
    CHECK(task.labels()->size() == 5);
    CHECK(task.labels()->Get(1)->str() == "bee");
    REQUIRE(task.image() != nullptr);
    CHECK(task.image()->resize_height() == 36);
    CHECK(task.image()->resize_width() == 0);
    CHECK(task.image()->height() == 32);
    CHECK(task.image()->width() == 24);
    CHECK(task.image()->rescale() == static_cast<float>(1.0 / 255.0));
    CHECK(task.image()->deviation()->Get(2) == 0.225f);
  }

  TEST_CASE("the example of the manual is a description") {
    const std::string manual = ReadBytes(TestData("../../docs/layer-stack.md"));
    const size_t begin = manual.find("{\"kind\": \"layer-stack\"");
    REQUIRE(begin != std::string::npos);
    const std::string text = manual.substr(begin, manual.find("```", begin) - begin);
    const auto document = JsonDocument::Parse(text, "docs/layer-stack.md");
    REQUIRE_MESSAGE(document.ok(), document.status().message());
    const auto stack = ReadLayerStack(**document);
    REQUIRE_MESSAGE(stack.ok(), stack.status().message());
    CHECK(stack->layers.size() == 8);
    CHECK(stack->image.has_value());
  }

  TEST_CASE("descriptions that would have to be guessed at are refused by name") {
    struct Case {
      std::string description;
      const char* message;
    };
    const auto layer = [](const std::string& text) { return Stack("[3, 8, 8]", text); };
    const auto with = [](const std::string& more) {
      return Stack("[3, 8, 8]", R"({"type": "flatten"})", more + ", ");
    };
    const Case cases[] = {
        {R"({"kind": "layer-stack", "layers": []})", "'input' is missing"},
        {Stack("[3, 8]", ""), "'input.shape' must be [features] or [channels, height, width]"},
        {Stack("[3, 0, 8]", ""), "'input.shape[1]' is 0, outside 1 to 16384"},
        {Stack("[3, 8, 8]", ""), "'layers' has 0 layers"},
        {layer(R"({"weight": "w"})"), "'layers[0].type' is missing"},
        {layer(R"({"type": "conv3d"})"),
         "'layers[0].type' is \"conv3d\"; this version knows conv2d, conv1d, linear"},
        {layer(R"({"type": "conv2d", "weight": "w", "padding_mode": "reflect"})"),
         "'layers[0].padding_mode' is not a member that is known here; these are: type, name, "
         "from, weight"},
        {layer(R"({"type": "conv2d"})"), "'layers[0].weight' is missing"},
        {layer(R"({"type": "conv2d", "weight": "w", "stride": 0})"),
         "'layers[0].stride' must be 1 to 16384"},
        {layer(R"({"type": "conv2d", "weight": "w", "stride": [1, 2, 3]})"),
         "'layers[0].stride' must be a number or [height, width]"},
        {layer(R"({"type": "conv2d", "weight": "w", "padding": "same"})"),
         "'layers[0].padding' must be an integer"},
        {layer(R"({"type": "conv2d", "weight": "w", "padding": [0, 20000]})"),
         "'layers[0].padding' must be 0 to 16384 a side"},
        {layer(R"({"type": "conv1d", "weight": "w", "dilation": [1, 2]})"),
         "'layers[0].dilation' must be a number"},
        {layer(R"({"type": "conv2d", "weight": "w", "groups": 0})"), "'layers[0].groups' is 0"},
        {layer(R"({"type": "max_pool"})"), "'layers[0]' has no kernel"},
        {layer(R"({"type": "max_pool", "kernel": 2, "padding": 2})"),
         "'layers[0].padding' is more than half the kernel"},
        {layer(R"({"type": "avg_pool", "kernel": 2, "ceil_mode": true})"),
         "'layers[0].ceil_mode' is not a member"},
        {layer(R"({"type": "batch_norm", "running_mean": "m"})"),
         "'layers[0].running_var' is missing"},
        {layer(R"({"type": "batch_norm", "running_mean": "m", "running_var": "v", "eps": 0})"),
         "'layers[0].eps' must be above 0"},
        {layer(R"({"type": "activation"})"), "'layers[0].activation' is missing"},
        {layer(R"({"type": "activation", "activation": "sine"})"),
         "'layers[0].activation' is \"sine\""},
        {layer(R"({"type": "add"})"), "'layers[0].with' is missing"},
        {layer(R"({"type": "add", "with": "later"})"),
         "'layers[0].with' is \"later\", which no earlier layer is named"},
        {layer(R"({"type": "flatten", "name": "a"}, {"type": "flatten", "name": "a"})"),
         "'layers[1].name' is \"a\", as the input or an earlier layer is named"},
        {layer(R"({"type": "flatten"}, {"type": "flatten", "from": "input"})"),
         "'layers[0]' gives what no other layer takes"},
        {layer(R"({"type": "linear", "weight": "w", "lora": {"a": "A", "b": "B", "rank": 1}})"),
         "'layers[0].lora.rank' is not a member"},
        {with(R"("task": "detection")"), "'task' is \"detection\"; this version knows tensors"},
        {with(R"("labels": ["a"])"), "'labels' is of no use without"},
        {with(R"("task": "classification", "labels": "a")"), "'labels' must be"},
        {with(R"("task": "classification", "scores": "odds")"), "'scores' is \"odds\""},
        {Stack("[8]", R"({"type": "linear", "weight": "w"})", R"("task": "classification", )"),
         "'task' needs an input of shape [channels, height, width]"},
        {with(R"("image": {"crop": 3})"), "'image.crop' is not a member"},
        {with(R"("image": {"mean": [1, 2]})"), "'image.mean' has 2 numbers for 3 channels"},
        {with(R"("image": {"std": [1, 2, 0]})"), "'image.std[2]' must be finite and above 0"},
        {with(R"("image": {"resize": [9]})"), "'image.resize' must be the shorter side"},
        {with(R"("image": {"resize": 0})"), "'image.resize' is 0"},
        {with(R"("image": {"filter": "lanczos"})"), "'image.filter' is \"lanczos\""},
        {Stack("[2, 8, 8]", R"({"type": "flatten"})", R"("image": {}, )"),
         "'image' needs an input of shape [1, height, width] or [3, height, width]"},
    };
    for (const Case& c : cases) {
      const std::string message = ReadFailure(c.description);
      CHECK_MESSAGE(Has(message, c.message), message);
    }
  }

  TEST_CASE("layers that do not fit their tensors or what they are applied to are named") {
    struct Case {
      std::string shape;
      std::string layers;
      const char* message;
    };
    const auto conv = [](const std::string& more) {
      return R"({"type": "conv2d", "weight": "c.weight")" + more + "}";
    };
    const std::string named = R"({"type": "conv2d", "weight": "c.weight", "name": "x"})";
    const Case cases[] = {
        {"[3, 4, 4]", R"({"type": "conv2d", "weight": "none"})",
         "has no tensor 'none', which graft.json names"},
        {"[3, 4, 4]", R"({"type": "conv2d", "weight": "l.weight"})",
         "tensor 'l.weight' is [5, 36] of F32; "},
        {"[3, 4, 4]", R"({"type": "conv1d", "weight": "c.weight"})",
         "needs floats of [out_channels, in_channels, length]"},
        {"[2, 4, 4]", conv(""),
         "'layers[0]' has kernels 'c.weight' of [4, 3, 2, 2] in 1 groups, but is applied to an "
         "image of 2 channels, 4 x 4"},
        {"[3, 4, 4]", conv(R"(, "groups": 3)"), "in 3 groups"},
        {"[3, 1, 4]", conv(""), "'layers[0]' has a window that spans 2 of a height of 1"},
        {"[3, 4, 4]", conv(R"(, "padding": 2)"),
         "'layers[0]' has a padding of 2 along the height, but its window spans 2"},
        {"[3, 4, 4]", conv(R"(, "bias": "n.var"}, {"type": "linear", "weight": "l.weight")"),
         "'layers[1]' needs features, but is applied to an image of 4 channels, 3 x 3; a flatten"},
        {"[3, 4, 4]", conv(R"(, "bias": "l.weight")"), "tensor 'l.weight' has shape [5, 36]"},
        {"[36]", conv(""), "'layers[0]' needs an image, but is applied to 36 features"},
        {"[36]", R"({"type": "global_avg_pool"})", "needs an image, but is applied to 36 features"},
        {"[35]", R"({"type": "linear", "weight": "l.weight"})", "takes 36 features"},
        {"[3, 4, 4]", R"({"type": "avg_pool", "kernel": 5})", "has a window that spans 5"},
        {"[3, 4, 4]", kNorm, "'layers[0]' must come right after a conv1d, conv2d or linear"},
        {"[3, 4, 4]", Layers({conv(R"(, "activation": "relu")"), kNorm}), "'layers[1]' must come"},
        {"[3, 4, 4]", Layers({named, kNorm}), "'layers[1]' must come"},
        {"[36]", Layers({R"({"type": "linear", "weight": "l.weight"})", kNorm}),
         "tensor 'n.weight' is [4] of F32; "},
        {"[3, 4, 4]", Layers({named, R"({"type": "add", "with": "input"})"}),
         "'layers[1]' adds an image of 3 channels, 4 x 4 to an image of 4 channels, 3 x 3"},
        {"[3, 4, 4]", R"({"type": "layer_norm", "weight": "n.weight"})",
         "'layers[0]' needs features"},
        {"[16384, 16384, 2]", R"({"type": "flatten"})", "'input.shape' has more than"},
    };
    for (const Case& c : cases) {
      CAPTURE(c.layers);
      const std::string message =
          StackFolder(ConvolutionAndNorm(), Stack(c.shape, c.layers)).Failure();
      CHECK_MESSAGE(Has(message, c.message), message);
    }
    const auto task = [&](const std::string& layers, const std::string& more) {
      return StackFolder(ConvolutionAndNorm(), Stack("[3, 4, 4]", layers, more)).Failure();
    };
    CHECK(Has(task(conv(""), R"("task": "classification", )"),
              "'task' is classification, which needs features, but the layers give an image"));
    CHECK(Has(task(Layers({conv(""), kRest}), R"("task": "classification", "labels": ["a"], )"),
              "'labels' has 1 names for 5 scores"));

    SmallTensors negative = ConvolutionAndNorm();
    negative["n.var"].values[2] = -1;
    CHECK(Has(StackFolder(negative, Stack("[3, 4, 4]", Layers({kConv, kNorm}))).Failure(),
              "has a variance of -1"));
    SmallTensors shared = ConvolutionAndNorm();
    shared["c.weight"] = RandomTensor({3, 3, 1, 1}, 1);
    for (const char* name : {"n.weight", "n.bias", "n.mean", "n.var"})
      shared[name] = Squared(RandomTensor({3}, 2));
    CHECK(
        Has(StackFolder(shared, Stack("[3, 4, 4]", Layers({conv(""), kNorm, conv("")}))).Failure(),
            "'layers[2]' uses tensor 'c.weight', which another layer uses with another batch"));
  }
}

}  // namespace graft::converter
