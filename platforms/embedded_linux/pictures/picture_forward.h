// SPDX-License-Identifier: Apache-2.0
// The outputs of a model that sees: for a text, and for a text with pictures.
#pragma once

#include <string>

#include <graft/graft.h>

namespace graft_run {

/// Computes `input_file`'s text (input_ids), or its text with pictures (image_input_ids and
/// pixel_values, or input_ids and pixel_values), or both, and writes what comes out; outputs of
/// image_input_ids are called image_.... Returns an exit code; a failure has been printed.
int ForwardWithPictures(const std::string& model_file, const graft_model* model,
                        graft_session* session, const std::string& input_file,
                        const std::string& output_file);

/// The most tokens of a text in `input_file`; 0: none can be read.
uint64_t TokensOfTexts(const std::string& input_file);

}  // namespace graft_run
