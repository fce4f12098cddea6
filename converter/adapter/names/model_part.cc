// SPDX-License-Identifier: Apache-2.0
// Lists of the words that public families of models use.
#include "converter/adapter/names/model_part.h"

#include <algorithm>

namespace graft::converter {
namespace {

enum class Match : uint8_t { kWhole, kWithin, kBegins, kEnds };

struct Word {
  std::string_view text;
  Match match;
  ModelPart part;
};

// The first that fits a part of a name counts.
constexpr Word kWords[] = {
    {"mtp", Match::kWhole, ModelPart::kPrediction},
    {"mtp_", Match::kBegins, ModelPart::kPrediction},
    {"nextn", Match::kBegins, ModelPart::kPrediction},
    {"medusa", Match::kBegins, ModelPart::kPrediction},
    {"eagle", Match::kBegins, ModelPart::kPrediction},
    {"draft", Match::kBegins, ModelPart::kPrediction},
    {"talker", Match::kWithin, ModelPart::kSpeech},
    {"tts", Match::kWhole, ModelPart::kSpeech},
    {"tts_", Match::kBegins, ModelPart::kSpeech},
    {"2wav", Match::kEnds, ModelPart::kSpeech},
    {"code_predictor", Match::kWhole, ModelPart::kSpeech},
    {"vocoder", Match::kWithin, ModelPart::kSpeech},
    {"depth_decoder", Match::kWhole, ModelPart::kSpeech},
    {"depformer", Match::kWhole, ModelPart::kSpeech},
    {"codec", Match::kBegins, ModelPart::kSpeech},
    {"mimi", Match::kWhole, ModelPart::kSpeech},
    {"speech_generator", Match::kWhole, ModelPart::kSpeech},
    {"local_transformer", Match::kEnds, ModelPart::kSpeech},
    {"mimo_layers", Match::kWhole, ModelPart::kSpeech},
    {"gen_", Match::kBegins, ModelPart::kOther},
    {"vqmodel", Match::kWhole, ModelPart::kOther},
    {"vqgan", Match::kWhole, ModelPart::kOther},
    {"dit", Match::kWhole, ModelPart::kOther},
    {"action_", Match::kBegins, ModelPart::kOther},
    {"lm_expert", Match::kWhole, ModelPart::kOther},
    {"gemma_expert", Match::kWhole, ModelPart::kOther},
    {"qwen_expert", Match::kWhole, ModelPart::kOther},
    {"prediction_head", Match::kWhole, ModelPart::kOther},
    {"vision", Match::kWithin, ModelPart::kVision},
    {"visual", Match::kWithin, ModelPart::kVision},
    {"image", Match::kWithin, ModelPart::kVision},
    {"img", Match::kWithin, ModelPart::kVision},
    {"video", Match::kWithin, ModelPart::kVision},
    {"pixel", Match::kWithin, ModelPart::kVision},
    {"vpm", Match::kWhole, ModelPart::kVision},
    {"siglip", Match::kWithin, ModelPart::kVision},
    {"clip", Match::kWithin, ModelPart::kVision},
    {"dino", Match::kWithin, ModelPart::kVision},
    {"vit", Match::kWhole, ModelPart::kVision},
    {"vit_", Match::kBegins, ModelPart::kVision},
    {"vte", Match::kWhole, ModelPart::kVision},
    {"sam_", Match::kBegins, ModelPart::kVision},
    {"timm_model", Match::kWhole, ModelPart::kVision},
    {"patch_", Match::kBegins, ModelPart::kVision},
    {"audio", Match::kWithin, ModelPart::kAudio},
    {"speech", Match::kWithin, ModelPart::kAudio},
    {"sound", Match::kWithin, ModelPart::kAudio},
    {"acoustic", Match::kWithin, ModelPart::kAudio},
    {"whisper", Match::kWithin, ModelPart::kAudio},
    {"apm", Match::kWhole, ModelPart::kAudio},
    {"asr", Match::kWhole, ModelPart::kAudio},
    {"asr_", Match::kBegins, ModelPart::kAudio},
    {"perception", Match::kWhole, ModelPart::kAudio},
    {"resampler", Match::kWithin, ModelPart::kBridge},
    {"connector", Match::kWithin, ModelPart::kBridge},
    {"projector", Match::kWithin, ModelPart::kBridge},
    {"qformer", Match::kWithin, ModelPart::kBridge},
    {"q_former", Match::kWithin, ModelPart::kBridge},
    {"perceive", Match::kBegins, ModelPart::kBridge},
    {"abstractor", Match::kWithin, ModelPart::kBridge},
    {"aligner", Match::kWithin, ModelPart::kBridge},
    {"merger", Match::kWithin, ModelPart::kBridge},
    {"multi_modal", Match::kBegins, ModelPart::kBridge},
    {"mm_", Match::kBegins, ModelPart::kBridge},
    {"mlp1", Match::kWhole, ModelPart::kBridge},
    {"mlp_AR", Match::kWhole, ModelPart::kBridge},
};

// Parts that say that a text model follows.
constexpr std::string_view kTextWords[] = {
    "language_model", "text_model", "llm",           "language",    "thinker",
    "text_decoder",   "lm",         "text_backbone", "llama_model",
};
// Parts that say nothing of what follows.
constexpr std::string_view kPlainWords[] = {
    "model", "module", "base_model", "vlm", "transformer", "auto_model",
};

template <size_t kCount>
bool IsAmong(std::string_view part, const std::string_view (&words)[kCount]) {
  return std::find(std::begin(words), std::end(words), part) != std::end(words);
}

bool Fits(const Word& word, std::string_view part) {
  switch (word.match) {
    case Match::kWhole:
      return part == word.text;
    case Match::kWithin:
      return part.find(word.text) != std::string_view::npos;
    case Match::kBegins:
      return part.starts_with(word.text);
    case Match::kEnds:
      return part.ends_with(word.text);
  }
  return false;
}

std::string_view First(std::string_view name) { return name.substr(0, name.find('.')); }

// False at the last part.
bool DropFirst(std::string_view* name) {
  const size_t dot = name->find('.');
  if (dot == std::string_view::npos) return false;
  name->remove_prefix(dot + 1);
  return true;
}

bool IsNumber(std::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(),
                                      [](char digit) { return digit >= '0' && digit <= '9'; });
}

struct Spoken {
  ModelPart part = ModelPart::kText;
  std::string_view word;
};

// A text model inside of what sees is called so ("clip.text_model"). What speaks or looks ahead has
// a text model's layers inside and is still no text model.
Spoken SpokenOf(std::string_view name) {
  Spoken spoken;
  std::string_view rest = name;
  do {
    const std::string_view part = First(rest);
    if (rest.size() < name.size() && IsNumber(part)) break;  // the number of a layer
    if (IsAmong(part, kTextWords)) {
      if (spoken.part == ModelPart::kVision || spoken.part == ModelPart::kAudio) spoken = {};
      continue;
    }
    if (spoken.part != ModelPart::kText) continue;
    // "vision_language_model" is the whole of it.
    if (part.find("language") != std::string_view::npos && !part.starts_with("tts")) continue;
    const auto* word = std::find_if(std::begin(kWords), std::end(kWords),
                                    [part](const Word& w) { return Fits(w, part); });
    if (word != std::end(kWords)) spoken = {word->part, part};
  } while (DropFirst(&rest));
  return spoken;
}

}  // namespace

ModelPart PartOf(std::string_view name) { return SpokenOf(name).part; }

std::string_view PartWord(std::string_view name) { return SpokenOf(name).word; }

const char* WhatPartDoes(ModelPart part) {
  switch (part) {
    case ModelPart::kText:
      return "reads";
    case ModelPart::kVision:
      return "sees";
    case ModelPart::kAudio:
      return "hears";
    case ModelPart::kSpeech:
      return "speaks";
    case ModelPart::kBridge:
      return "hands pictures or sound to the text model";
    case ModelPart::kPrediction:
      return "predicts tokens ahead";
    case ModelPart::kOther:
      break;
  }
  return "draws or acts";
}

std::string_view WithoutTextWrappers(std::string_view name) {
  std::string_view rest = name;
  while (IsAmong(First(rest), kTextWords) || IsAmong(First(rest), kPlainWords)) {
    if (!DropFirst(&rest)) return name;
  }
  return rest;
}

bool IsSurelyText(std::string_view name) {
  if (PartOf(name) != ModelPart::kText) return false;
  std::string_view rest = name;
  while (!IsAmong(First(rest), kTextWords)) {
    if (!IsAmong(First(rest), kPlainWords))
      return rest.size() < name.size() && First(rest) != "encoder";
    if (!DropFirst(&rest)) return false;
  }
  return true;
}

}  // namespace graft::converter
