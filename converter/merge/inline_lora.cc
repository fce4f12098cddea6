// SPDX-License-Identifier: Apache-2.0
// The factors are found by the names that graft.json has for them, and checked against the weight.
#include "converter/merge/inline_lora.h"

#include <algorithm>
#include <utility>

namespace graft::converter {
namespace {

Result<const TensorInfo*> FindFactor(const TensorSource& source, const std::string& source_name,
                                     const std::string& name) {
  const TensorInfo* info = source.Find(name);
  if (info == nullptr) {
    return Error(StatusCode::kMismatch, "%s: has no tensor '%s', which graft.json names",
                 source_name.c_str(), name.c_str());
  }
  if (info->shape.size() < 2 || !IsFloat(info->dtype)) {
    return Error(StatusCode::kMismatch,
                 "%s: tensor '%s' is %s of %s; it must be a matrix or kernels of floats",
                 source_name.c_str(), name.c_str(), info->ShapeText().c_str(),
                 DTypeName(info->dtype));
  }
  return info;
}

// W [out, in, ...], A [rank, in, ...] and B [out, rank], perhaps followed by ones.
bool FitTogether(const TensorInfo& w, const TensorInfo& a, const TensorInfo& b) {
  const auto inner = [](const TensorInfo& info) { return std::span(info.shape).subspan(1); };
  return a.shape[0] >= 1 && std::ranges::equal(inner(a), inner(w)) && b.shape[0] == w.shape[0] &&
         b.shape[1] == a.shape[0] && b.row_elements() == a.shape[0] &&
         (b.shape.size() == 2 || b.shape.size() == w.shape.size());
}

}  // namespace

Result<std::unique_ptr<TensorSource>> InlineLoraSource::Create(
    const TensorSource& source, const std::string& source_name,
    const std::map<std::string, InlineLora, std::less<>>& loras) {
  std::unique_ptr<InlineLoraSource> result(new InlineLoraSource(source));
  for (const auto& [weight, lora] : loras) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* w, FindFactor(source, source_name, weight));
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* a, FindFactor(source, source_name, lora.a));
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* b, FindFactor(source, source_name, lora.b));
    if (!FitTogether(*w, *a, *b)) {
      return Error(StatusCode::kMismatch,
                   "%s: '%s' %s, '%s' %s and '%s' %s do not fit together as [out, in], [rank, in] "
                   "and [out, rank]",
                   source_name.c_str(), weight.c_str(), w->ShapeText().c_str(), lora.a.c_str(),
                   a->ShapeText().c_str(), lora.b.c_str(), b->ShapeText().c_str());
    }
    const int64_t rank = a->shape[0];
    LowRankFactors factors;
    factors.rank = rank;
    factors.columns = w->row_elements();
    factors.read_left = [&source, name = lora.b](int64_t begin, int64_t end, std::span<double> out,
                                                 Workspace*) {
      return source.ReadRows(name, begin, end, out);
    };
    factors.read_right = [&source, name = lora.a, rank](std::span<double> out) {
      return source.ReadRows(name, 0, rank, out);
    };
    factors.exact_products = a->dtype != DType::kFloat64 && b->dtype != DType::kFloat64;
    factors.scale = lora.ScaleFor(rank);
    result->updates_.emplace(weight, std::make_unique<LowRankRows>(std::move(factors)));
  }
  return std::unique_ptr<TensorSource>(std::move(result));
}

Status InlineLoraSource::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                  std::span<double> out) const {
  GRAFT_RETURN_IF_ERROR(source_.ReadRows(name, row_begin, row_end, out));
  const auto update = updates_.find(name);
  if (update == updates_.end()) return OkStatus();
  WorkspacePool::Lease lease(&workspaces_, name);
  return update->second->ApplyRows(row_begin, row_end, out, lease.workspace());
}

Status InlineLoraSource::ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                      std::span<double> out) const {
  return source_.ReadBaseRows(name, row_begin, row_end, out);
}

bool InlineLoraSource::IsAdapted(std::string_view name) const {
  return updates_.contains(name) || source_.IsAdapted(name);
}

}  // namespace graft::converter
