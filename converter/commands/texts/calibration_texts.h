// SPDX-License-Identifier: Apache-2.0
// Texts of a user's own to calibrate on, as ids of the model that is being made.
#pragma once

#include <string>

#include "converter/calibrate/calibrate.h"
#include "converter/commands/texts/text_encoder.h"
#include "schema/result.h"

namespace graft::converter {

/// Longest line of a JSONL file.
inline constexpr size_t kMaxCalibrationLineBytes = size_t{1} << 20;

/// Fills options->ids with at most options->texts texts of options->tokens_each tokens out of
/// `path`, and sets options->texts to how many they are. A file that is short of one text gives one
/// of fewer tokens.
/// A file whose name ends in .jsonl has an object on each line: {"messages": [...]}, which goes
/// through the chat template (with "tools", if there are any), {"text": "..."}, or {"prompt": ...,
/// "completion": ...}, texts or lists of messages. Lines are taken from the first on until the texts
/// are full. Any other file is plain text; pieces are taken from all over it, however large it is.
/// Errors   kNotFound, kIo; kInvalidArgument: a line that is none of these, or too long, naming file
///          and line; nothing that gives two tokens; kUnsupported: a conversation, and no template.
Status ReadCalibrationTexts(const std::string& path, const TextEncoder& model,
                            CalibrationOptions* options);

}  // namespace graft::converter
