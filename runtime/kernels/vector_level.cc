// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/vector_level.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/vector_level.cc"  // NOLINT
#include "hwy/foreach_target.h"                               // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

const char* LevelImpl() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {

HWY_EXPORT(LevelImpl);

const char* VectorLevel() { return HWY_DYNAMIC_DISPATCH(LevelImpl)(); }

}  // namespace graft::runtime
#endif  // HWY_ONCE
