// SPDX-License-Identifier: Apache-2.0
// What an encoder-decoder answers to, from files, texts and ids. Each function prints what failed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace graft_run {

/// Ids, or features; of no model that takes a source, neither.
struct SourceInput {
  std::vector<int64_t> shape;
  std::vector<int32_t> ids;
  std::vector<float> features;
};

/// The tensor of the model's source in a safetensors file: a first dimension of 1 may be in front.
bool ReadSourceFile(const std::string& file, const graft_model* model, SourceInput* source);

bool EncodeSource(const std::string& model_file, const graft_model* model, const std::string& text,
                  const std::string& language, SourceInput* source);

void SetSourceIds(std::vector<int32_t> ids, SourceInput* source);

/// What an answer in `language` begins with; empty: the model's own.
bool ReadStartTokens(const std::string& model_file, const graft_model* model,
                     const std::string& language, std::vector<int32_t>* ids);

/// Tokens of the source that the context must hold.
uint64_t SourceTokens(const SourceInput& source);

/// Computes the source, if there is one.
bool SetSource(const std::string& model_file, graft_session* session, const SourceInput& source);

}  // namespace graft_run
