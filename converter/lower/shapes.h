// SPDX-License-Identifier: Apache-2.0
// Handles of values and tensors, and the shapes that ops take: attention heads, windows over
// images, rotations.
#pragma once

#include <cstdint>
#include <vector>

namespace graft::schema::fb {
struct ImageWindow;
enum class RoutingKind : uint8_t;
}  // namespace graft::schema::fb

namespace graft::converter {

/// A value of the graph. One made by default means "none".
struct ValueId {
  int32_t index = -1;
};

/// A tensor of the file. One made by default means "none".
struct TensorId {
  int32_t index = -1;
};

/// Disentangled attention's tables, as schema/model.fbs's PositionTables has them.
struct PositionTableIds {
  TensorId query{}, key{};
  TensorId columns{};  ///< None: there are no tables.
  int64_t before = 0;
};

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0.0f;     ///< Usually 1 / sqrt(head_dim).
  int64_t window = 0;     ///< Positions a row looks back over, itself included; 0: all.
  float soft_cap = 0.0f;  ///< 0: none.
  /// Of ALiBi, f32 [heads]: alibi_scale * (slope * position) is added to scores; what is in brackets
  /// is rounded to bf16 if alibi_rounded.
  TensorId alibi_slopes{};
  float alibi_scale = 1.0f;
  bool alibi_rounded = false;
  /// f32 [heads, distances]: that of position j - position i + position_bias_before, or of the
  /// nearest distance there is, is added to scores.
  TensorId position_bias{};
  int64_t position_bias_before = 0;
  bool both_ways = false;  ///< The window hides what lies ahead, too.
  PositionTableIds position_tables{};
  TensorId sinks{};       ///< f32 [heads]: exp(sink) is added to what weights are divided by.
  TensorId score_bias{};  ///< f32 [heads, rows, rows] or, with blocks, [heads, block, block].
  int64_t block = 0;      ///< Rows that attend to themselves alone; 0: all.
  std::vector<uint8_t> regions =
      {};                   ///< Of each row, with blocks: it attends to its own. Empty: none.
  bool image_runs = false;  ///< Rows of a picture that follow each other see each other.
};

/// As schema/model.fbs's Xielu has them.
struct XieluNumbers {
  double alpha_p = 0.0, alpha_n = 0.0, beta = 0.0, epsilon = 0.0;
};

/// As schema/model.fbs's ops have them.
struct DeltaRuleShape {
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
  TensorId rates{}, offsets{};
  float epsilon = 0.0f;

  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
};

struct ScanShape {
  int64_t heads = 0, head_dim = 0, groups = 1, state_dim = 0;
  TensorId rates{}, offsets{}, skips{};
  float step_low = 0.0f, step_high = 0.0f;

  int64_t width() const { return heads * head_dim; }
  int64_t shared() const { return groups * state_dim; }
};

struct RecurrenceShape {
  int64_t blocks = 1;
  TensorId input_weight{}, input_bias{}, gate_weight{}, gate_bias{}, rates{};
};

/// As schema/model.fbs's Route has it.
struct RoutingShape {
  schema::fb::RoutingKind kind{};
  int64_t choices = 0;
  TensorId bias{};
  bool normalized = false;
  float epsilon = 0.0f;
  float scale = 1.0f;
  float jitter = 0.0f;
};

/// What a Route gives: weights of experts, and which they are.
struct Routed {
  ValueId weights, choices;
};

/// A window that moves over an image of height x width pixels with zeros around it.
struct WindowShape {
  int64_t channels = 0;
  int64_t height = 0, width = 0;
  int64_t kernel_height = 1, kernel_width = 1;
  int64_t stride_height = 1, stride_width = 1;
  int64_t pad_height = 0, pad_width = 0;
  int64_t dilation_height = 1, dilation_width = 1;

  /// Places of the window along the height and the width.
  /// Requires a window that fits.
  int64_t out_height() const {
    return (height + 2 * pad_height - dilation_height * (kernel_height - 1) - 1) / stride_height +
           1;
  }
  int64_t out_width() const {
    return (width + 2 * pad_width - dilation_width * (kernel_width - 1) - 1) / stride_width + 1;
  }
  int64_t places() const { return out_height() * out_width(); }
  /// Numbers under the window.
  int64_t elements() const { return channels * kernel_height * kernel_width; }
};

/// The same as the file has it.
/// Requires numbers below 2^32.
schema::fb::ImageWindow StoredWindow(const WindowShape& window);

struct ImageSize {
  int64_t height = 0, width = 0;
  int64_t pixels() const { return height * width; }
};

/// A convolution's window, with extra rows of zeros below the image and columns right of it.
struct ConvolutionShape {
  WindowShape window;
  int64_t groups = 1;
  int64_t extra_height = 0, extra_width = 0;

  int64_t out_height() const { return Places(window.height, extra_height, true); }
  int64_t out_width() const { return Places(window.width, extra_width, false); }

 private:
  int64_t Places(int64_t side, int64_t extra, bool is_height) const {
    WindowShape larger = window;
    (is_height ? larger.height : larger.width) = side + extra;
    return is_height ? larger.out_height() : larger.out_width();
  }
};

struct RopeShape {
  TensorId inverse_frequencies{};  ///< f32 [rotary_dim / 2].
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
  float magnitude = 1.0f;
  bool interleaved = false;
  int64_t positions = 0;  ///< Where the frequencies stop to hold; 0: nowhere.
  /// If growth_positions is not 0, rows are multiplied by 1 + growth ln(1 + floor(position /
  /// growth_positions)), too.
  float growth = 0.0f;
  int64_t growth_positions = 0;
  /// Instead of frequencies: f32 [positions, rotary_dim], sines and then cosines.
  TensorId table{};
  /// Of each frequency: 0 time, 1 row, 2 column. Empty: all turn by the position.
  std::vector<uint8_t> axes;
};

}  // namespace graft::converter
