// SPDX-License-Identifier: Apache-2.0
// What a lowering is: a function that reads a model's configuration and writes the model down as
// ops.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/shapes.h"
#include "schema/result.h"

namespace graft::converter {

class GraphBuilder;

enum class Task : uint8_t {
  kTensors,
  kTextGeneration,
  kEmbedding,
  kClassification,
  kTokenClassification
};

/// "text-generation", "embedding", ...
const char* TaskName(Task task);

/// How an image becomes the model's input; schema/model.fbs, ImageInput.
struct ImagePreparation {
  enum class Filter : uint8_t { kNearest, kBilinear, kBicubic, kLanczos };
  int64_t channels = 0, height = 0, width = 0;
  int64_t resize_height = 0, resize_width = 0;
  Filter filter = Filter::kBilinear;
  double rescale = 1.0;
  std::vector<float> mean, deviation;
  std::string source;  ///< The file that says so; empty: none does, and it is ViT's usual.
};

/// How pictures become rows of a text; schema/model.fbs, Pictures. The lowering says what the model
/// takes, files beside config.json add the rest.
struct PicturesDescription {
  enum class Layout : uint8_t { kSquare, kTiles, kGrid, kRatio, kArea };
  enum class Processor : uint8_t { kGemma3, kIdefics3, kPixtral, kLfm2Vl, kQwen2Vl };
  Processor processor = Processor::kGemma3;
  Layout layout = Layout::kSquare;
  int64_t token = 0, patch = 0, merge = 0, side = 0, longest_side = 0;
  /// Of kRatio.
  int64_t most_patches = 0, tile_side = 0, fewest_tiles = 0, most_tiles = 0;
  int64_t fewest_rows = 0, most_rows = 0;
  double tolerance = 0.0;
  int64_t frames = 1;
  int64_t fewest_pixels = 0, most_pixels = 0;  ///< Of kArea, as most_patches is.
  ImagePreparation image;
  std::string placeholder, token_text, begin, end, row_break;
  std::string tile_begin, tile_row_end, whole_begin, single_begin;
};

/// The part of a model that sees: what its lowering reads, and the lowering. It adds the inputs of an
/// image, and gives a row for each token that stands for it.
struct VisionPart {
  JsonValue config;  ///< Of the whole model.
  Result<ValueId> (*lower)(const JsonValue& config, GraphBuilder& graph,
                           PicturesDescription* pictures);
};

/// How sound becomes an encoder's features; schema/model.fbs, AudioInput. -1: no such token.
struct SoundDescription {
  int64_t sample_rate = 16000, fft_samples = 400, hop_samples = 160;
  int64_t mels = 0, frames = 0;
  int64_t transcribe_token = -1, translate_token = -1;
  int64_t no_timestamps_token = -1, first_timestamp_token = -1;
};

struct LanguageToken {
  std::string language;
  int64_t token = 0;
};

/// What an encoder-decoder generates; schema/model.fbs, TargetText.
struct TargetDescription {
  enum class LanguagePlace : uint8_t { kNowhere, kSourceAndTarget, kTarget };
  std::vector<uint32_t> start_tokens, suppressed_tokens, first_suppressed_tokens;
  std::vector<LanguageToken> languages;
  LanguagePlace language_place = LanguagePlace::kNowhere;
  std::string source_language, target_language;  ///< Empty: none.
  std::optional<SoundDescription> sound;
  int64_t forced_end_token = -1;  ///< -1: none.
};

/// What scores of labels are turned into; schema/model.fbs, ScoreKind.
enum class ScoreKind : uint8_t { kSoftmax, kSigmoid, kRaw };

/// How a text's rows become one vector.
struct TextPooling {
  enum class Kind : uint8_t { kFirst, kMean, kMax, kLast };
  Kind kind = Kind::kMean;
  bool normalize = true;  ///< To a length of 1.
  bool stated = false;    ///< A file says so; else it is what encoders usually do.
};

/// What the graph is for, as far as the configuration says.
struct TaskDescription {
  std::string architecture;  ///< For people, such as "llama".
  Task task = Task::kTensors;
  std::vector<std::string> labels;  ///< Of classification; empty: none.
  ScoreKind scores = ScoreKind::kSoftmax;
  /// Left out at a text's end where the scores are those of its last token; -1: none.
  int64_t pad_token = -1;
  /// How embeddings come from rows, as files beside config.json say. Set before the lowering runs.
  TextPooling pooling;
  /// Of a model of images: the lowering sets what the model takes, files beside config.json add how
  /// images become that.
  std::optional<ImagePreparation> image;
  /// Of an encoder-decoder that generates: the lowering says that there is one, and sizes of sound;
  /// files beside config.json the rest.
  std::optional<TargetDescription> target;
  /// Of a decoder of texts with pictures. The first is set before the lowering runs.
  std::optional<VisionPart> vision;
  std::optional<PicturesDescription> pictures;
  std::string prompt;          ///< Goes before each text of which an embedding is made.
  int64_t context_tokens = 0;  ///< Positions the model was trained for; 0: unbounded.
  /// Whether the head is the embedding, where the model around a text model says so. Set before the
  /// lowering runs.
  std::optional<bool> tied;
  /// Wanted: texts longer than those that a rope's usual frequencies hold for. Set before, too.
  bool long_context = false;
  /// The size to which files beside config.json prepare images; 0: none says. Set before, too.
  int64_t prepared_height = 0, prepared_width = 0;
  bool takes_text = true;  ///< A model of images or other numbers needs no tokenizer.
};

/// Describes the model of `config` in `graph` and fills `task`.
/// Errors   kUnsupported, kCorrupt: a configuration it cannot follow, naming file, key and value.
///          Missing or misshapen tensors are faults of `graph`, which its Finish returns.
using Lowering = Status(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
