// SPDX-License-Identifier: Apache-2.0
// The smallest models of texts and of images that have a task.
#pragma once

#include "tests/support/model_builder.h"

namespace graft::test {

/// An encoder with the tokenizer of stories260k: a row of a table for each token, and for each text
/// their mean, unless the task wants the tokens' own. Texts have at most 16 tokens. one_by_one: it
/// takes a text at a time, and its last token's row is the text's.
AlignedBytes TextTaskModel(fb::TaskKind task, bool one_by_one = false);

/// Takes images of any size, cut to [3, 6, 4], and gives one row of 12 numbers.
AlignedBytes ImageTaskModel(fb::TaskKind task);

/// An encoder-decoder of texts with the same tokenizer and the languages "de" and "en".
AlignedBytes SourceTaskModel();

/// The same of sound, without languages, in windows of 96 samples; it says what a tokenizer makes of
/// its tokens.
AlignedBytes SoundTaskModel();

}  // namespace graft::test
