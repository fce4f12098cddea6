// SPDX-License-Identifier: Apache-2.0
// TextEncoder: the tokenizer and the chat template of a model that is being made, as a device
// runs them.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include <graft/graft.h>
#include "converter/calibrate/write_texts.h"
#include "converter/lower/model_description.h"
#include "schema/result.h"

namespace graft::converter {

/// A model of nothing but a tokenizer and a template, opened as a device opens it. Reentrant.
class TextEncoder {
 public:
  /// Of the model whose tokenizer lies in `header`, which is not finished. False if there is none, or
  /// it cannot be opened.
  bool Open(const ModelDescription& description, const flatbuffers::FlatBufferBuilder& header);

  /// Empty if the text gives none.
  std::vector<int32_t> Encode(const std::string& text, bool add_special) const;
  /// What the chat template makes of a user's message, up to where the answer begins; empty if there
  /// is no template or it fails.
  std::string RenderMessage(const std::string& text) const;
  /// What the chat template makes of a whole conversation, a JSON list of messages. `tools`: a JSON
  /// list, or empty.
  /// Errors   those of graft_model_render_chat.
  Result<std::string> RenderConversation(const std::string& messages,
                                         const std::string& tools) const;
  /// What the template puts before and behind a user's message; empty if that cannot be told.
  ChatFrame Frame() const;

 private:
  struct ModelDeleter {
    void operator()(graft_model* model) const { graft_model_destroy(model); }
  };
  struct AlignedDeleter {
    void operator()(uint8_t* bytes) const;
  };

  std::unique_ptr<uint8_t[], AlignedDeleter> bytes_;
  std::unique_ptr<graft_model, ModelDeleter> model_;
};

}  // namespace graft::converter
