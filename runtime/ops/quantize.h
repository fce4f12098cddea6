// SPDX-License-Identifier: Apache-2.0
// The step before products with quantized weights: rows become int8, once for all that read them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/plan/plan_builder.h"

namespace graft::schema::fb {
enum class TensorFormat : uint8_t;
}  // namespace graft::schema::fb

namespace graft::runtime::ops {

/// Whether products with weights of this format want quantized rows.
bool IsQuantized(schema::fb::TensorFormat format);

/// The quantized form of a value [rows, width], made by a step before `op` unless there is one
/// already.
/// Requires a width that is a multiple of form.parts.
int32_t QuantizedForm(PlanBuilder& plan, uint32_t op, int32_t value, const QuantizedRows& form);

}  // namespace graft::runtime::ops
