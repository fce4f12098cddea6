// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that computes a model's graph on named tensors.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/session/session.h"
#include "runtime/tasks/model_inputs.h"
#include "schema/result.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

static_assert(GRAFT_MAX_RANK == runtime::kMaxInputRank);
static_assert(GRAFT_TYPE_F32 == static_cast<int>(runtime::ElementType::kFloat32));
static_assert(GRAFT_TYPE_I32 == static_cast<int>(runtime::ElementType::kInt32));

Status GetInput(const graft_model* model, size_t index, graft_tensor* input) {
  if (model == nullptr) return NullArgument("model");
  if (input == nullptr) return NullArgument("input");
  GRAFT_ASSIGN_OR_RETURN(const runtime::ModelInput found,
                         runtime::DescribeInput(*model->text()->model(), index));
  graft_tensor filled{};
  filled.name = found.name;
  filled.type = static_cast<int32_t>(found.type);
  filled.rank = found.rank;
  std::copy_n(found.shape.begin(), filled.rank, filled.shape);
  *input = filled;
  return OkStatus();
}

Status ReadInput(const graft_tensor& tensor, size_t index, runtime::TensorView* view) {
  if (tensor.name == nullptr)
    return Error(StatusCode::kInvalidArgument, "input %zu has no name", index);
  view->name = tensor.name;
  return ReadTensor(tensor, tensor.name, view);
}

Status Forward(graft_session* session, const graft_tensor* inputs, size_t input_count,
               const graft_tensor** outputs, size_t* output_count) {
  if (session == nullptr) return NullArgument("session");
  if (inputs == nullptr && input_count > 0) return NullArgument("inputs");
  if (outputs == nullptr) return NullArgument("outputs");
  if (output_count == nullptr) return NullArgument("output_count");
  std::vector<runtime::TensorView> views(input_count);
  for (size_t i = 0; i < input_count; ++i)
    GRAFT_RETURN_IF_ERROR(ReadInput(inputs[i], i, &views[i]));
  session->session->ClearCancel();
  GRAFT_ASSIGN_OR_RETURN(const auto results, session->session->Forward(views));
  std::vector<graft_tensor> tensors(results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const runtime::TensorView& view = results[i];
    graft_tensor& tensor = tensors[i];
    if (view.shape.size() > GRAFT_MAX_RANK) {
      return Error(StatusCode::kInternal, "output %s has rank %zu, at most %d fits",
                   view.name.c_str(), view.shape.size(), GRAFT_MAX_RANK);
    }
    tensor.name = view.name.c_str();
    tensor.type = static_cast<int32_t>(view.type);
    tensor.rank = static_cast<uint32_t>(view.shape.size());
    std::copy(view.shape.begin(), view.shape.end(), tensor.shape);
    tensor.data = view.data;
  }
  session->outputs = std::move(tensors);
  *outputs = session->outputs.data();
  *output_count = session->outputs.size();
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_model_get_input(const graft_model* model, size_t index,
                                             graft_tensor* input, graft_error* error) {
  return Call([&] { return GetInput(model, index, input); }, error);
}

GRAFT_API graft_status graft_session_forward(graft_session* session, const graft_tensor* inputs,
                                             size_t input_count, const graft_tensor** outputs,
                                             size_t* output_count, graft_error* error) {
  return CallIn(
      session, [&] { return Forward(session, inputs, input_count, outputs, output_count); }, error);
}
