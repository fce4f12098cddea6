// SPDX-License-Identifier: Apache-2.0
// The questions that a file asks itself, and the ids that its own tokenizer makes of them.
#pragma once

#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/lower/model_description.h"
#include "schema/result.h"

namespace graft::converter {

/// The lines of a file: one question each.
/// Errors   kNotFound, kIo; kInvalidArgument: no line, too many, or too long a one.
Result<std::vector<std::string>> ReadProbeLines(const std::string& path);

/// Probes of a few texts for the model whose graph and tokenizer lie in `header`, which is not
/// finished: of `lines`, or of some built in if there are none. Where there is a chat template, they
/// are a user's messages, but some of those built in. The ids are what the runtime makes of them.
/// Empty if the model takes no ids, or none of the texts become any.
Result<std::vector<ProbeText>> MakeProbes(const std::vector<std::string>& lines,
                                          const ModelDescription& description,
                                          flatbuffers::FlatBufferBuilder& header);

}  // namespace graft::converter
