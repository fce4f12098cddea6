// SPDX-License-Identifier: Apache-2.0
// Mamba and Mamba-2: layers of a state space alone, no attention, no MLP.
#include <functional>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/state_space.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostTaps = 1024;

using Mix = std::function<ValueId(const Module& mixer, ValueId x)>;

// What both have around their mixers.
Status LowerLayers(const JsonValue& config, bool usually_tied, int64_t padding, const Mix& mix,
                   GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(const int64_t layers, config.GetIntIn("num_hidden_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(const float epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  LanguageHead head;
  head.weight = "lm_head.weight";
  head.usual_padding = padding;
  GRAFT_ASSIGN_OR_RETURN(head.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(head.tied, config.GetBool("tie_word_embeddings", usually_tied));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  task->task = Task::kTextGeneration;
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  // An older name, which transformers reads, too.
  for (const char* model : {"backbone.", ""}) {
    const std::string older = std::string(model) + "embedding.";
    if (g.Has(older + "weight")) g.Rename(std::string(model) + "embeddings.", older);
  }
  const Module model = ModelModule(g, "backbone", "embeddings");
  head.embedding = model.Name("embeddings.weight");
  ValueId x = g.Embedding(model.Name("embeddings"), inputs.ids,
                          g.Matrix(head.embedding, head.vocabulary, hidden));
  for (int64_t layer = 0; layer < layers; ++layer) {
    const Module m = model["layers"][layer];
    const ValueId mixed = mix(m["mixer"], m.RmsNorm("norm", x, epsilon));
    x = g.Add(m.Name("residual"), x, mixed);
  }
  x = model.RmsNorm("norm_f", inputs.HeadRows(g, x), epsilon);
  return AddHead(config, g, x, inputs, head, task);
}

struct Mamba {
  int64_t width = 0, state_dim = 0, rank = 0, kernel = 0;
  bool bias = false, conv_bias = true;
  schema::fb::ActivationKind activation{};
};

Result<Mamba> ReadMamba(const JsonValue& config) {
  Mamba mamba;
  GRAFT_ASSIGN_OR_RETURN(const int64_t hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(const double expand, config.GetDouble("expand", 2.0));
  const double width = expand * static_cast<double>(hidden);
  // A scan has as many heads as there are columns.
  constexpr int64_t kMostColumns = int64_t{1} << 16;
  if (!(width >= 1.0 && width <= static_cast<double>(kMostColumns)))
    return config.Find("expand").Fail("gives a width that is too small or large");
  mamba.width = static_cast<int64_t>(width);
  GRAFT_ASSIGN_OR_RETURN(mamba.state_dim, config.GetIntIn("state_size", 1, kMaxHeadDim, 16));
  const bool automatic =
      config.Find("time_step_rank").IsNull() || config.Find("time_step_rank").Text() == "\"auto\"";
  mamba.rank = (hidden + 15) / 16;
  if (!automatic) {
    GRAFT_ASSIGN_OR_RETURN(mamba.rank, config.GetIntIn("time_step_rank", 1, kMaxWidth));
  }
  GRAFT_ASSIGN_OR_RETURN(mamba.kernel, config.GetIntIn("conv_kernel", 2, kMostTaps, 4));
  GRAFT_ASSIGN_OR_RETURN(mamba.bias, config.GetBool("use_bias", false));
  GRAFT_ASSIGN_OR_RETURN(mamba.conv_bias, config.GetBool("use_conv_bias", true));
  mamba.activation = schema::fb::ActivationKind::Silu;
  if (config.Has("hidden_act")) {
    GRAFT_ASSIGN_OR_RETURN(mamba.activation, ReadActivation(config, "hidden_act"));
  }
  return mamba;
}

ValueId MixByMamba(const Mamba& mamba, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  const int64_t hidden = g.Width(x);
  const FusedLinear in = {.name = "in_proj", .out_features = 2 * mamba.width, .bias = mamba.bias};
  ValueId u = m.Linear(in, "x", x, mamba.width, {.begin = 0});
  const ValueId gate = m.Linear(in, "gate", x, mamba.width, {.begin = mamba.width});
  const TensorId kernels = g.ColumnKernels(m.Name("conv1d.weight"), mamba.width, mamba.kernel);
  const TensorId bias = mamba.conv_bias ? g.Vector(m.Name("conv1d.bias"), mamba.width) : TensorId{};
  u = g.ShortConvolution(m.Name("conv1d"), u, kernels, bias);
  u = g.Activation(m.Name("act"), u, mamba.activation);
  // B and C decide what the state takes in and gives: they are as touchy as the steps.
  const auto of_x_proj = [&](std::string_view part, int64_t begin, int64_t rows) {
    const std::string name = m.Name("x_proj." + std::string(part));
    const TensorId matrix = g.Matrix(name + ".weight",
                                     TensorPart{.source = m.Name("x_proj.weight"),
                                                .source_rows = mamba.rank + 2 * mamba.state_dim,
                                                .rows = {.begin = begin}},
                                     rows, mamba.width);
    g.KeepFromInt4(matrix);
    return g.Linear(name, u, matrix);
  };
  const ValueId low_rank = of_x_proj("dt", 0, mamba.rank);
  const ValueId bc = of_x_proj("bc", mamba.rank, 2 * mamba.state_dim);
  const ValueId steps = StepLinear(m, "dt_proj", low_rank, mamba.width, /*bias=*/true);
  ScanShape scan = {.heads = mamba.width, .head_dim = 1, .state_dim = mamba.state_dim};
  scan.rates = AddDecayRates(m, mamba.width, mamba.state_dim);
  scan.skips = g.Vector(m.Name("D"), mamba.width);
  ValueId y = g.SelectiveScan(m.path(), u, bc, steps, scan);
  y = g.GatedActivation(m.Name("gated"), gate, y, mamba.activation);
  return m.Linear("out_proj", y, hidden, mamba.bias);
}

}  // namespace

// Source   Gu and Dao 2023, "Mamba".
Status LowerMamba(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GRAFT_ASSIGN_OR_RETURN(const Mamba mamba, ReadMamba(config));
  const Mix mix = [&](const Module& mixer, ValueId x) { return MixByMamba(mamba, mixer, x); };
  return LowerLayers(config, /*usually_tied=*/true, /*padding=*/0, mix, graph, task);
}

// Source   Dao and Gu 2024, "Transformers are SSMs".
Status LowerMamba2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GRAFT_ASSIGN_OR_RETURN(const int64_t hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(StateSpace space, ReadStateSpace(config, kMamba2Keys, hidden));
  GRAFT_ASSIGN_OR_RETURN(space.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  const Mix mix = [&](const Module& mixer, ValueId x) { return MixByStateSpace(space, mixer, x); };
  return LowerLayers(config, /*usually_tied=*/false, /*padding=*/1, mix, graph, task);
}

}  // namespace graft::converter
