// SPDX-License-Identifier: Apache-2.0
// FRoD: a weight is taken apart by directions that layers of a kind share, and put together again
// with trained strengths and a few trained exchanges.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/places.h"
#include "converter/merge/updates/elimination.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"frod_lambda_l", "frod_lambda_s_values"};
constexpr std::string_view kKeyed[] = {"frod_V", "frod_s_indices", "frod_s_size"};
constexpr std::string_view kIndexRoles[] = {"frod_s_indices", "frod_s_size"};
constexpr Setting kSettings[] = {
    {"save_projection", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"projection_prng_key", 0, SettingUse::kIgnored, ""},
    {"sparse_rate", 0, SettingUse::kIgnored, ""},  // the places are stored
    {"regularization_alpha", 0, SettingUse::kIgnored, ""},
    {"frod_dropout", 0, SettingUse::kIgnored, ""},
    {"progressbar", 0, SettingUse::kIgnored, ""},
    {"runtime_offload_base_weight", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// What PEFT calls the layers that share directions with `module`.
std::string CategoryOf(std::string_view module) {
  const size_t dot = module.rfind('.');
  if (dot == std::string_view::npos) return std::string(module);
  std::string name(module.substr(dot + 1));
  const std::string_view before = module.substr(0, dot);
  const size_t before_dot = before.rfind('.');
  const std::string parent(
      before.substr(before_dot == std::string_view::npos ? 0 : before_dot + 1));
  if (parent.find_first_not_of("0123456789") == std::string::npos) return name;
  if (NameEndsWith(module, "attention.output.dense")) return "attention_output";
  return parent + "_" + name;
}

struct Parts {
  StoredFactor directions;  // V [inputs, inputs]
  StoredFactor strengths;   // [inputs]
  StoredFactor places;      // [2, exchanges]
  StoredFactor exchanges;   // [exchanges]
};

// W = U (diag(strengths) + exchanges) V^T, where U is W V^-T with columns of length 1. Multiplies
// the weight with all of that at once.
class Recompose final : public RowUpdate {
 public:
  Recompose(const LinearLayer& layer, const Parts& parts, RowReader before)
      : layer_(layer),
        name_(layer.weight->info.name),
        parts_(parts),
        before_(std::move(before)),
        prepared_(
            static_cast<size_t>(layer.inputs * (layer.transposed ? layer.outputs : layer.inputs)),
            [this](std::span<double> out) { return Prepare(out); }) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> prepared, workspace->Get(prepared_));
    if (layer_.transposed) {
      std::copy_n(prepared.begin() + row_begin * layer_.outputs, rows.size(), rows.begin());
      return OkStatus();
    }
    const size_t n = static_cast<size_t>(layer_.inputs);
    const std::vector<double> before(rows.begin(), rows.end());
    std::fill(rows.begin(), rows.end(), 0.0);
    AddLowRank(prepared.data(), n, before.data(), n, static_cast<size_t>(row_end - row_begin), n, n,
               1.0, false, rows.data(), n);
    return OkStatus();
  }

 private:
  // V^-1, and its transpose.
  Status Invert(const std::vector<double>& v, std::vector<double>* inverse,
                std::vector<double>* turned) const {
    const size_t n = static_cast<size_t>(layer_.inputs);
    std::vector<double> left = v;
    inverse->assign(n * n, 0.0);
    for (size_t i = 0; i < n; ++i) (*inverse)[i * n + i] = 1;
    if (!Eliminate(&left, inverse, n)) {
      return Error(StatusCode::kUnsupported,
                   "%s: tensor '%s' has no inverse, so it takes no weight apart",
                   parts_.directions.file->FileOf(*parts_.directions.entry).path().c_str(),
                   parts_.directions.entry->info.name.c_str());
    }
    turned->resize(n * n);
    for (size_t i = 0; i < n * n; ++i) (*turned)[i % n * n + i / n] = (*inverse)[i];
    return OkStatus();
  }

  // The squares of the lengths of the columns of W V^-T. Of a transposed weight also that whole.
  Status Measure(const std::vector<double>& inverse, const std::vector<double>& turned,
                 std::vector<double>* squares, std::vector<double>* weight) const {
    const size_t n = static_cast<size_t>(layer_.inputs);
    const size_t outputs = static_cast<size_t>(layer_.outputs);
    squares->assign(n, 0.0);
    std::vector<double> part;
    if (!layer_.transposed) {
      return VisitRows(before_, layer_.outputs, layer_.inputs,
                       [&](int64_t, std::span<const double> block) {
                         part.assign(block.size(), 0.0);
                         AddLowRank(turned.data(), n, block.data(), n, block.size() / n, n, n, 1.0,
                                    false, part.data(), n);
                         for (size_t i = 0; i < part.size(); ++i) {
                           (*squares)[i % n] += part[i] * part[i];
                         }
                       });
    }
    GRAFT_RETURN_IF_ERROR(VisitRows(before_, layer_.inputs, layer_.outputs,
                                    [&](int64_t, std::span<const double> block) {
                                      weight->insert(weight->end(), block.begin(), block.end());
                                    }));
    part.assign(n * outputs, 0.0);
    AddLowRank(weight->data(), outputs, inverse.data(), n, n, outputs, n, 1.0, false, part.data(),
               outputs);
    for (size_t i = 0; i < part.size(); ++i) (*squares)[i / outputs] += part[i] * part[i];
    return OkStatus();
  }

  // (diag(strengths) + exchanges) V^T, each row divided by the length of its direction.
  Status MixDirections(const std::vector<double>& v, const std::vector<double>& squares,
                       std::vector<double>* mixed) const {
    constexpr double kLeastLength = 1e-12;
    const size_t n = static_cast<size_t>(layer_.inputs);
    std::vector<double> strengths, exchanges;
    std::vector<int64_t> places;
    GRAFT_RETURN_IF_ERROR(ReadAll(parts_.strengths, &strengths));
    GRAFT_RETURN_IF_ERROR(ReadAll(parts_.exchanges, &exchanges));
    GRAFT_RETURN_IF_ERROR(ReadPlaces(parts_.places, layer_.inputs, &places));
    mixed->resize(n * n);
    for (size_t i = 0; i < n * n; ++i) (*mixed)[i] = strengths[i / n] * v[i % n * n + i / n];
    for (size_t k = 0; k < exchanges.size(); ++k) {
      const size_t to = static_cast<size_t>(places[k]) * n;
      const size_t from = static_cast<size_t>(places[exchanges.size() + k]);
      for (size_t c = 0; c < n; ++c) (*mixed)[to + c] += exchanges[k] * v[c * n + from];
    }
    for (size_t i = 0; i < n * n; ++i) {
      const double length = std::sqrt(squares[i / n]);
      (*mixed)[i] = length > kLeastLength ? (*mixed)[i] / length : 0;
    }
    return OkStatus();
  }

  Status Prepare(std::span<double> out) const {
    const size_t n = static_cast<size_t>(layer_.inputs);
    const size_t outputs = static_cast<size_t>(layer_.outputs);
    std::vector<double> v, inverse, turned, squares, weight, mixed;
    GRAFT_RETURN_IF_ERROR(ReadAll(parts_.directions, &v));
    GRAFT_RETURN_IF_ERROR(Invert(v, &inverse, &turned));
    GRAFT_RETURN_IF_ERROR(Measure(inverse, turned, &squares, &weight));
    GRAFT_RETURN_IF_ERROR(MixDirections(v, squares, &mixed));
    std::fill(out.begin(), out.end(), 0.0);
    if (!layer_.transposed) {
      AddLowRank(mixed.data(), n, turned.data(), n, n, n, n, 1.0, false, out.data(), n);
      return OkStatus();
    }
    std::vector<double> whole(n * n, 0.0);
    AddLowRank(mixed.data(), n, turned.data(), n, n, n, n, 1.0, false, whole.data(), n);
    for (size_t i = 0; i < n * n; ++i) turned[i % n * n + i / n] = whole[i];
    AddLowRank(weight.data(), outputs, turned.data(), n, n, outputs, n, 1.0, false, out.data(),
               outputs);
    return OkStatus();
  }

  LinearLayer layer_;
  std::string name_;
  Parts parts_;
  RowReader before_;
  SharedMatrix prepared_;  // what the weight is multiplied with; of a transposed one the result
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  if (module.name.empty()) return OkStatus();  // its tensors are asked for by the layers
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* strengths, planner->Need(module, "frod_lambda_l"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* exchanges,
                         planner->Need(module, "frod_lambda_s_values"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *strengths, TransposedLayers::kTaken, planner));
  const auto& modules = planner->adapter().modules();
  const auto top = modules.find("");
  const std::string category = CategoryOf(module.name);
  const AdapterTensor* shared[3] = {};
  for (size_t i = 0; i < 3 && top != modules.end(); ++i) {
    shared[i] = planner->Use(top->second, std::string(kKeyed[i]) + "." + category);
  }
  const auto [v, places, size] = shared;
  if (v == nullptr || places == nullptr || size == nullptr) {
    return planner->Fail(StatusCode::kUnsupported, *strengths,
                         "needs frod_V, frod_s_indices and frod_s_size of '" + category +
                             "', which the file lacks: they depend on how one machine's LAPACK "
                             "chose the signs of eigenvectors; train and save the adapter with "
                             "save_projection=true");
  }
  const int64_t count = exchanges->elements();
  if (!HasShape(*v, {layer.inputs, layer.inputs})) return planner->FailShape(*v, *layer.weight);
  if (!HasShape(*places, {2, count})) return planner->FailShape(*places, *layer.weight);
  if (!HasShape(*size, {2})) return planner->FailShape(*size, *layer.weight);
  if (!HasShape(*strengths, {layer.inputs})) return planner->FailShape(*strengths, *layer.weight);
  if (!HasShape(*exchanges, {count})) return planner->FailShape(*exchanges, *layer.weight);
  const Parts parts{planner->Stored(*v), planner->Stored(*strengths), planner->Stored(*places),
                    planner->Stored(*exchanges)};
  planner->Add(layer.weight,
               std::make_unique<Recompose>(layer, parts, planner->ReaderSoFar(layer.weight)));
  return planner->NoteModule(layer.weight, "frod", layer.inputs, 1);
}

}  // namespace

extern constinit const PlannedKind kFrodKind = {
    {AdapterType::kOther, "FROD", "frod", kRoles, kSettings, kKeyed, kIndexRoles}, Plan};

}  // namespace graft::converter
