// SPDX-License-Identifier: Apache-2.0
// RandLoRA: a change of full rank is the sum of random ones, whose directions are scaled.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/projections.h"
#include "converter/merge/random/torch_generator.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"randlora_A", "randlora_B", "randlora_lambda",
                                       "randlora_gamma"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"randlora_alpha", 0, SettingUse::kRead, ""},
    {"projection_prng_key", 0, SettingUse::kRead, ""},
    {"save_projection", 0, SettingUse::kRead, ""},
    {"sparse", 0, SettingUse::kRead, ""},
    {"very_sparse", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"randlora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// Both bases, and how they are stored or drawn.
struct Bases {
  Projection a;       // [rank, 1, width]
  Projection b;       // [longer side or more, all bases, rank]
  int64_t width = 0;  // of a
  int64_t count = 0;  // of b
};

struct DrawRule {
  uint64_t seed = 0;
  int64_t rank = 0;
  int64_t longer = 0;
  int64_t shorter = 0;
  double sparsity = 0;  // 0: the numbers are not sparse
};

float ToBFloat16(double value) {
  uint8_t stored[2];
  double rounded = 0;
  Narrow(DType::kBFloat16, &value, 1, stored);
  Widen(DType::kBFloat16, stored, 1, &rounded);
  return static_cast<float>(rounded);
}

// As torch.std has it: over one less than there are.
double Deviation(const std::vector<float>& values) {
  double mean = 0;
  for (const float value : values) mean += value;
  mean /= static_cast<double>(values.size());
  double sum = 0;
  for (const float value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / (static_cast<double>(values.size()) - 1));
}

// Numbers are -1, 0 or 1 before they are divided.
void DrawSparse(const DrawRule& rule, DrawnPair::Numbers* numbers) {
  TorchGenerator generator(rule.seed);
  const float low = static_cast<float>(1 / (2 * rule.sparsity));
  const float high = static_cast<float>(1 - 1 / (2 * rule.sparsity));
  for (std::vector<float>* values : {&numbers->a, &numbers->b}) {
    for (float& value : *values) {
      const float drawn = generator.Uniform(0, 1);
      value = drawn < low ? -1.0f : drawn > high ? 1.0f : 0.0f;
    }
    const float deviation = static_cast<float>(Deviation(*values));
    for (float& value : *values) value /= deviation;
  }
}

// Drawn and divided in bfloat16. Of b, base after base is drawn.
void DrawDense(const DrawRule& rule, DrawnPair::Numbers* numbers) {
  TorchGenerator generator(rule.seed);
  const float bound_a = KaimingBound(rule.shorter, std::sqrt(5.0));
  for (float& value : numbers->a) value = generator.UniformBFloat16(-bound_a, bound_a);
  const float bound_b = KaimingBound(rule.rank, std::sqrt(5.0));
  const size_t rank = static_cast<size_t>(rule.rank);
  const size_t row = numbers->b.size() / static_cast<size_t>(rule.longer);
  for (size_t base = 0; base < row; base += rank) {
    for (size_t at = base; at < numbers->b.size(); at += row) {
      for (size_t k = 0; k < rank; ++k) {
        numbers->b[at + k] = generator.UniformBFloat16(-bound_b, bound_b);
      }
    }
  }
  for (std::vector<float>* values : {&numbers->a, &numbers->b}) {
    const float deviation = ToBFloat16(Deviation(*values));
    for (float& value : *values) value = ToBFloat16(value / deviation);
  }
}

Result<Bases> DrawBases(const AdapterTensor& user, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const int64_t seed, root.GetInt("projection_prng_key", 0));
  GRAFT_ASSIGN_OR_RETURN(const bool sparse, root.GetBool("sparse", false));
  GRAFT_ASSIGN_OR_RETURN(const bool very_sparse, root.GetBool("very_sparse", false));
  GRAFT_ASSIGN_OR_RETURN(const LargestLayer largest, FindLargest("randlora_lambda", planner));
  DrawRule rule;
  rule.seed = static_cast<uint64_t>(seed);
  rule.rank = planner->config().rank;
  rule.longer = std::max(largest.outputs, largest.inputs);
  rule.shorter = std::min(largest.outputs, largest.inputs);
  if (very_sparse) {
    rule.sparsity = std::sqrt(static_cast<double>(rule.shorter));
  } else if (sparse) {
    rule.sparsity = 3;
  }
  const int64_t count = (rule.shorter + rule.rank - 1) / rule.rank;
  // A rank beyond the layers draws numbers that no layer uses.
  if (rule.rank > rule.longer) {
    return planner->Fail(StatusCode::kUnsupported, user,
                         "has a rank beyond the sides of all layers that it changes");
  }
  std::shared_ptr<void>* state = planner->kind_state();
  if (*state == nullptr) {
    *state = std::make_shared<DrawnPair>([rule, count](DrawnPair::Numbers* numbers) {
      numbers->a.resize(static_cast<size_t>(rule.rank * rule.shorter));
      numbers->b.resize(static_cast<size_t>(rule.longer * count * rule.rank));
      if (rule.sparsity > 0) {
        DrawSparse(rule, numbers);
      } else {
        DrawDense(rule, numbers);
      }
      return OkStatus();
    });
  }
  const auto drawn = std::static_pointer_cast<const DrawnPair>(*state);
  return Bases{Projection(drawn, false), Projection(drawn, true), rule.shorter, count};
}

// [longer side, shorter side]: the products of b, base by base, and of lambda a gamma, rank by rank.
// Source   Albert et al. 2025, "RandLoRA: Full-rank parameter-efficient fine-tuning of large
//          models", and PEFT's order of the two.
LowRankFactors FactorsOf(const Bases& bases, StoredFactor lambda, StoredFactor gamma,
                         double scale) {
  const int64_t rank = lambda.entry->info.shape[0];
  const int64_t count = lambda.entry->info.shape[1];
  const int64_t columns = gamma.entry->info.shape[1];
  LowRankFactors factors;
  factors.rank = rank * count;
  factors.columns = columns;
  factors.exact_products = false;
  factors.scale = scale;
  factors.read_left = [bases, width = rank * count, rank](
                          int64_t begin, int64_t end, std::span<double> out, Workspace*) -> Status {
    for (int64_t row = begin; row < end; ++row) {
      GRAFT_RETURN_IF_ERROR(bases.b.Read(
          row * bases.count * rank,
          out.subspan(static_cast<size_t>((row - begin) * width), static_cast<size_t>(width))));
    }
    return OkStatus();
  };
  factors.read_right = [bases, lambda, gamma, rank = static_cast<size_t>(rank),
                        count = static_cast<size_t>(count),
                        columns = static_cast<size_t>(columns)](std::span<double> out) -> Status {
    std::vector<double> lambdas, gammas, row(columns);
    GRAFT_RETURN_IF_ERROR(ReadAll(lambda, &lambdas));
    GRAFT_RETURN_IF_ERROR(ReadAll(gamma, &gammas));
    double* to = out.data();
    for (size_t k = 0; k < rank; ++k) {
      GRAFT_RETURN_IF_ERROR(bases.a.Read(static_cast<int64_t>(k) * bases.width, row));
      for (size_t base = 0; base < count; ++base) {
        for (size_t c = 0; c < columns; ++c) {
          *to++ = lambdas[k * count + base] * row[c] * gammas[base * columns + c];
        }
      }
    }
    return OkStatus();
  };
  return factors;
}

// A base of the module itself, or of the whole adapter.
const AdapterTensor* UseBase(const AdapterModule& module, std::string_view role,
                             AdapterPlanner* planner) {
  const auto& modules = planner->adapter().modules();
  const auto top = modules.find("");
  const AdapterTensor* shared = top != modules.end() ? planner->Use(top->second, role) : nullptr;
  const AdapterTensor* own = planner->Use(module, role);
  return own != nullptr ? own : shared;
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  const AdapterTensor* a = UseBase(module, "randlora_A", planner);
  const AdapterTensor* b = UseBase(module, "randlora_B", planner);
  if (module.name.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda, planner->Need(module, "randlora_lambda"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* gamma, planner->Need(module, "randlora_gamma"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *lambda, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, root.GetDouble("randlora_alpha", 640));
  GRAFT_ASSIGN_OR_RETURN(const bool saved, root.GetBool("save_projection", true));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, root.GetIntIn("r", 1, 1 << 20, 32));
  const int64_t shorter = std::min(layer.outputs, layer.inputs);
  const int64_t longer = std::max(layer.outputs, layer.inputs);
  const int64_t count = (shorter + rank - 1) / rank;
  if (!HasShape(*lambda, {rank, count})) return planner->FailShape(*lambda, *layer.weight);
  if (!HasShape(*gamma, {count, shorter})) return planner->FailShape(*gamma, *layer.weight);
  Bases bases;
  if (a != nullptr && b != nullptr) {
    const bool fits = a->shape().size() == 3 && a->shape()[0] == rank && a->shape()[1] == 1 &&
                      a->shape()[2] >= shorter && b->shape().size() == 3 &&
                      b->shape()[0] >= longer && b->shape()[1] >= count && b->shape()[2] == rank;
    if (!fits) return planner->FailShape(*b, *layer.weight);
    bases = {Projection(planner->Stored(*a)), Projection(planner->Stored(*b)), a->shape()[2],
             b->shape()[1]};
  } else if (saved) {
    return planner->Fail(StatusCode::kCorrupt, *lambda,
                         "needs randlora_A and randlora_B, which the file lacks, though "
                         "save_projection is set");
  } else {
    GRAFT_ASSIGN_OR_RETURN(bases, DrawBases(*lambda, planner));
  }
  const double scale = alpha / static_cast<double>(rank);
  LowRankFactors factors =
      FactorsOf(bases, planner->Stored(*lambda), planner->Stored(*gamma), scale);
  // The factors make the longer side the rows, whichever it is.
  const bool rows_are_outputs = layer.inputs <= layer.outputs;
  if (rows_are_outputs == layer.transposed) factors = Transposed(std::move(factors), longer);
  planner->Add(layer.weight, std::make_unique<LowRankRows>(std::move(factors)));
  return planner->NoteModule(layer.weight, "randlora", shorter, scale);
}

}  // namespace

extern constinit const PlannedKind kRandLoraKind = {
    {AdapterType::kOther, "RANDLORA", "randlora", kRoles, kSettings}, Plan};

}  // namespace graft::converter
