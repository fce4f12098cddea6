// SPDX-License-Identifier: Apache-2.0
// Which part of a model with several a tensor's name speaks of: the one that reads and writes text,
// or one that sees, hears, speaks, ...
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace graft::converter {

enum class ModelPart : uint8_t {
  kText,        ///< The language model, and whatever says nothing else.
  kVision,      ///< "vision_tower", "visual", "vpm", ...
  kAudio,       ///< "audio_tower", "apm", ...
  kSpeech,      ///< What speaks: "talker", "tts", "code2wav", ...
  kBridge,      ///< Between perception and text: "connector", "resampler", "mlp1", ...
  kPrediction,  ///< Heads that look tokens ahead: "mtp", "medusa", ...
  kOther        ///< What draws or acts: "vqmodel", "action_expert", ...
};

/// The part that `name` speaks of, by what stands before the number of its layer. The layers of all
/// parts are called alike, so one must not be taken for the other.
ModelPart PartOf(std::string_view name);

/// The word in `name` that says so; empty for kText.
std::string_view PartWord(std::string_view name);

/// "sees", "hears", ...: for messages.
const char* WhatPartDoes(ModelPart part);

/// `name` without the parts at its front that say no more than that a text model follows ("model",
/// "language_model", "thinker", ...), in whatever order releases and programs put them.
std::string_view WithoutTextWrappers(std::string_view name);

/// Whether `name` is surely that of a text model's layer: it says "language_model" or the like, or
/// it begins as those of a model with a head do ("model.layers").
bool IsSurelyText(std::string_view name);

}  // namespace graft::converter
