// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding as config.json describes it, in the spellings of transformers 4 and 5.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

struct RopeFrequencies {
  std::vector<float> inverse;  ///< rotary_dim / 2 of them, radians for each position.
  float magnitude = 1.0f;      ///< Factor of sine and cosine.
  int64_t positions = 0;       ///< Where the frequencies stop to hold; 0: nowhere.
  /// Of longrope: those that all positions of a longer text turn by. Empty: there are none.
  std::vector<float> long_inverse;
  std::vector<uint8_t> axes;  ///< As RopeShape has them.
  int64_t stretched_to = 0;   ///< Positions that a shorter context was stretched to; 0: it was not.
};

/// What a family calls its settings outside rope_parameters, and what they are if a file has none.
struct RopeDefaults {
  std::string_view theta_key = "rope_theta";
  double theta = 10000.0;
  std::string_view rotated_part_key = "partial_rotary_factor";
  double rotated_part = 1.0;
  std::string_view type = "default";
  int64_t original_context = 0;   ///< original_max_position_embeddings of the family; 0: none.
  bool yarn_is_longrope = false;  ///< An older name for it.
  bool by_layer_type = false;     ///< The parameters are one of several objects.
  bool alpha_grows_theta =
      false;  ///< dynamic with an `alpha`: theta grows with it once and for all.
};

/// Reads rope_parameters (transformers 5), or rope_theta and rope_scaling (transformers 4), for
/// heads of `head_dim`. Knows the types default, proportional, linear, llama3, longrope, yarn and
/// dynamic. Of longrope the short factors are taken, of dynamic the plain frequencies, and `positions` says up
/// to where they hold: beyond, transformers turns all positions of a text by other angles.
/// Errors   kUnsupported: another type.
///          kCorrupt: a number missing or out of its range. Both name the key.
/// Source   Su et al. 2021 (RoPE); Chen et al. 2023 (linear); the Llama 3.1 release (llama3); Ding
///          et al. 2024 (longrope); Peng et al. 2023 (yarn).
Result<RopeFrequencies> ReadRope(const JsonValue& config, int64_t head_dim,
                                 const RopeDefaults& defaults = {});

/// The same from a separate object, such as one of several in rope_parameters. Null: a plain rope of
/// defaults.theta. `config` is where the model's context stands.
Result<RopeFrequencies> ReadRopeParameters(const JsonValue& config, const JsonValue& parameters,
                                           int64_t head_dim, const RopeDefaults& defaults);

/// Ropes of layers without a window and of those with one.
struct LayerRopes {
  RopeFrequencies full, sliding;
};

/// From an object for each type of layer in rope_parameters (transformers 5), or rope_theta,
/// rope_local_base_freq and rope_scaling, which is of full layers (transformers 4).
/// Source   Gemma Team 2025 (Gemma 3).
Result<LayerRopes> ReadLayerRopes(const JsonValue& config, int64_t head_dim);

/// The first `rotary_dim` elements of a head by theta, unscaled.
RopeFrequencies PlainRope(double theta, int64_t rotary_dim);

/// The rope of texts that are longer than `rope.positions`, for all their positions.
/// Errors   kUnsupported: it has none.
Result<RopeFrequencies> LongRope(const JsonValue& config, RopeFrequencies rope);

/// The context of a model that was trained for `context` positions.
int64_t ContextOf(const RopeFrequencies& rope, int64_t context);

}  // namespace graft::converter
