// SPDX-License-Identifier: Apache-2.0
// A session's source: what the tokens of an encoder-decoder attend to, computed once in a pass of its
// own.
#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/session/session_impl.h"
#include "schema/container.h"

namespace graft::runtime {
namespace {

// Sizes but for those of 1, which say nothing.
std::vector<int64_t> WithoutOnes(std::vector<int64_t> shape) {
  shape.erase(std::remove(shape.begin(), shape.end(), int64_t{1}), shape.end());
  return shape;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

uint64_t BytesOf(const TensorView& tensor) {
  uint64_t bytes = sizeof(float);
  for (const int64_t size : tensor.shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

}  // namespace

// What is accepted has as many numbers as the graph's input, or ids as there is room for.
Status Session::Impl::CheckSource(const TensorView& given) const {
  if (!plan.has_source())
    return Error(StatusCode::kUnsupported, "the model takes no source: it has no encoder");
  const bool has_features = plan.source_features() >= 0;
  const int32_t value = has_features ? plan.source_features() : plan.source_ids();
  const std::string name(plan.values()[static_cast<size_t>(value)].name);
  const std::vector<int64_t> shape = WithoutOnes(given.shape);
  if (has_features) {
    const std::vector<int64_t> wanted =
        WithoutOnes(plan.shape(value, SourceBinding(plan, source_capacity)));
    if (given.type == ElementType::kFloat32 && given.data != nullptr && shape == wanted)
      return OkStatus();
    return Error(StatusCode::kInvalidArgument,
                 "input %.200s must be f32 of the shape %s, not of %s", name.c_str(),
                 ShapeText(wanted).c_str(), ShapeText(given.shape).c_str());
  }
  if (given.type != ElementType::kInt32 || given.data == nullptr || given.shape.size() != 1 ||
      given.shape[0] < 1) {
    return Error(StatusCode::kInvalidArgument, "input %.200s must be i32 of [tokens], not of %s",
                 name.c_str(), ShapeText(given.shape).c_str());
  }
  if (given.shape[0] > static_cast<int64_t>(source_capacity)) {
    return Error(StatusCode::kOutOfRange, "the source has %" PRId64 " tokens; there is room for %u",
                 given.shape[0], source_capacity);
  }
  const auto* ids_given = static_cast<const int32_t*>(given.data);
  const uint64_t known = model->verified().facts().source_vocabulary;
  for (int64_t i = 0; i < given.shape[0]; ++i) {
    if (ids_given[i] >= 0 && static_cast<uint64_t>(ids_given[i]) < known) continue;
    return Error(StatusCode::kOutOfRange,
                 "token %" PRId64 " of the source is id %" PRId32 ", the vocabulary has %" PRIu64,
                 i, ids_given[i], known);
  }
  return OkStatus();
}

Status Session::Impl::SetSource(const TensorView& given) {
  GRAFT_RETURN_IF_ERROR(CheckSource(given));
  const uint64_t bytes = BytesOf(given);
  const schema::Hash128 hash = schema::ContentHash(
      {static_cast<const uint8_t*>(given.data), static_cast<size_t>(bytes)}, {});
  if (source.rows > 0 && source.hash == hash) return OkStatus();
  ClearOutputs();
  position = 0;
  source.rows = 0;
  const bool has_features = plan.source_features() >= 0;
  const size_t rows = has_features ? source_capacity : static_cast<size_t>(given.shape[0]);
  binding = SourceBinding(plan, rows);
  GRAFT_RETURN_IF_ERROR(executor->Prepare(binding));
  if (void* to = executor->data(has_features ? plan.source_features() : plan.source_ids()))
    std::memcpy(to, given.data, static_cast<size_t>(bytes));
  if (plan.source_positions() >= 0) {
    if (auto* to = static_cast<int32_t*>(executor->data(plan.source_positions()))) {
      for (size_t i = 0; i < rows; ++i) to[i] = static_cast<int32_t>(i);
    }
  }
  const Status status = executor->Run(0, cancelled);
  std::fill(binding.begin(), binding.end(), int64_t{0});
  GRAFT_RETURN_IF_ERROR(status);
  source = {rows, hash};
  executor->set_source_rows(rows);
  return OkStatus();
}

Status Session::Impl::RequireSource() const {
  if (!plan.has_source() || source.rows > 0) return OkStatus();
  return Error(StatusCode::kFailedPrecondition,
               "the model answers to a source, and none has been set");
}

// The source goes first, and what is left is about it.
Result<std::span<const TensorView>> Session::Impl::ForwardWithSource(
    std::span<const TensorView> inputs) {
  const int32_t value = plan.source_ids() >= 0 ? plan.source_ids() : plan.source_features();
  const std::string_view name = plan.values()[static_cast<size_t>(value)].name;
  std::vector<TensorView> others(inputs.begin(), inputs.end());
  const auto found = std::find_if(others.begin(), others.end(),
                                  [&](const TensorView& view) { return view.name == name; });
  if (found == others.end()) {
    return Error(StatusCode::kInvalidArgument, "input %.200s is missing",
                 std::string(name).c_str());
  }
  GRAFT_RETURN_IF_ERROR(SetSource(*found));
  others.erase(found);
  return ForwardOnTokens(others);
}

}  // namespace graft::runtime
