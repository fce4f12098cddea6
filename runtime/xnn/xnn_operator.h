// SPDX-License-Identifier: Apache-2.0
// XNNPACK's operators on packed weights: for measuring a layout, for packing, and for running.
#pragma once

#include <cstddef>
#include <cstdint>

#include <xnnpack.h>

#include "runtime/xnn/convolution_operator.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/status.h"

namespace graft::runtime {

inline constexpr size_t kPackedAlignment = 64;
inline constexpr uint16_t kOneAsBFloat16 = 0x3F80;

/// Answers one operator's questions about its packed weights.
struct Provider {
  enum class Mode : uint8_t {
    kMeasure,  ///< refuses space and notes how much was asked for
    kPack,     ///< gives `bytes` to be packed into
    kUse,      ///< says that `bytes` are packed
  };

  explicit Provider(Mode mode, uint8_t* bytes = nullptr, size_t capacity = 0);
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  xnn_weights_cache_provider callbacks = {};
  const Mode mode;
  uint8_t* bytes;
  const size_t capacity;
  size_t asked = 0;
};

/// Where the rows to be packed are.
struct RowSource {
  const void* data = nullptr;
  const void* scales = nullptr;
  const float* bias = nullptr;
};

/// Creates an operator on `rows` output rows, to be deleted by the caller.
xnn_status CreateOperator(const LinearWeights& weights, size_t rows, const RowSource& source,
                          Provider& provider, xnn_operator_t* op, const OutputBounds& bounds = {});

/// The same of a convolution, on all of its output rows. source.data: f32, a row's numbers in the
/// order row, column, channel.
xnn_status CreateConvolution(const LinearWeights& weights, const ImagePadding& padding,
                             const RowSource& source, Provider& provider, xnn_operator_t* op,
                             const OutputBounds& bounds = {});

/// A status that says what XNNPACK could not do with a tensor: "pack", "run", ...
Status FromXnnpack(xnn_status status, const char* name, const char* what);

}  // namespace graft::runtime
