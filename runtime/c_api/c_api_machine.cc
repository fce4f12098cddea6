// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that tells of the machine.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/kernels/vector_level.h"
#include "runtime/platform/cpus.h"
#include "runtime/xnn/cpu_features.h"
#include "runtime/xnn/kernel_tile.h"
#include "runtime/xnn/linear_operator.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

struct NamedFormat {
  const char* name;
  runtime::WeightFormat format;
};
constexpr NamedFormat kFormats[] = {{"f32", runtime::WeightFormat::kFloat32},
                                    {"int8", runtime::WeightFormat::kInt8Channel},
                                    {"int4-block", runtime::WeightFormat::kInt4Block},
                                    {"int4-channel", runtime::WeightFormat::kInt4Channel}};

/// Terminated, and cut where it does not fit; the array is zero before.
template <size_t N>
void CopyText(std::string_view from, char (&to)[N]) {
  from.copy(to, N - 1);
}

Status GetInfo(graft_cpu_info* info) {
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(info, "info"));
  GRAFT_RETURN_IF_ERROR(runtime::InitializeKernels());
  const runtime::CpuSet usable = runtime::UsableCpus();
  const runtime::CpuTopology topology = runtime::ReadCpuTopology(usable);
  graft_cpu_info filled{};
  filled.cpus = static_cast<uint32_t>(usable.size());
  filled.quota_cpus = topology.quota_cpus;
  filled.default_threads = runtime::DefaultThreads();
  filled.group_count = static_cast<uint32_t>(topology.groups.size());
  CopyText(runtime::CpuFeatures(), filled.features);
  CopyText(runtime::VectorLevel(), filled.vectors);
  WriteStruct(filled, info);
  return OkStatus();
}

Status GetGroup(size_t index, graft_cpu_group* group) {
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(group, "group"));
  const runtime::CpuTopology topology = runtime::ReadCpuTopology(runtime::UsableCpus());
  if (index >= topology.groups.size()) {
    return Error(StatusCode::kOutOfRange, "group %zu of %zu", index, topology.groups.size());
  }
  const runtime::CpuGroup& found = topology.groups[index];
  graft_cpu_group filled{};
  CopyText(found.name, filled.name);
  CopyText(runtime::CpuListText(found.cpus), filled.cpus);
  filled.capacity = found.capacity;
  filled.max_mhz = static_cast<uint32_t>(found.max_khz / 1000);
  filled.is_big = found.is_big;
  WriteStruct(filled, group);
  return OkStatus();
}

Status GetKernel(size_t index, graft_kernel_info* info) {
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(info, "info"));
  if (index >= std::size(kFormats)) {
    return Error(StatusCode::kOutOfRange, "kernel %zu of %zu", index, std::size(kFormats));
  }
  GRAFT_RETURN_IF_ERROR(runtime::InitializeKernels());
  GRAFT_ASSIGN_OR_RETURN(const runtime::KernelTile tile,
                         runtime::FindKernelTile(kFormats[index].format));
  graft_kernel_info filled{};
  filled.weights = kFormats[index].name;
  filled.tile_rows = static_cast<uint32_t>(tile.rows);
  filled.tile_columns = static_cast<uint32_t>(tile.columns);
  WriteStruct(filled, info);
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_cpu_get_info(graft_cpu_info* info, graft_error* error) {
  return Call([&] { return GetInfo(info); }, error);
}

GRAFT_API graft_status graft_cpu_get_group(size_t index, graft_cpu_group* group,
                                           graft_error* error) {
  return Call([&] { return GetGroup(index, group); }, error);
}

GRAFT_API graft_status graft_kernel_get_info(size_t index, graft_kernel_info* info,
                                             graft_error* error) {
  return Call([&] { return GetKernel(index, info); }, error);
}
