// SPDX-License-Identifier: Apache-2.0
// Where an adapter lies, given the folder or file that a user names.
#pragma once

#include <filesystem>

#include "converter/adapter/adapter_config.h"
#include "schema/result.h"

namespace graft::converter {

struct AdapterLocation {
  /// The folder with adapter_config.json; empty if there is none.
  std::filesystem::path config_folder;
  /// The file with the tensors, where it is known without the configuration; else empty.
  std::filesystem::path weights;
};

/// `path` may be a folder with adapter_config.json; a folder with exactly one subfolder that has
/// it, as PEFT saves adapters under names of their own; a folder with exactly one safetensors file, or
/// with one GGUF file and no other adapter; or a file. Shards and the index that names them are one file, whichever of them is named.
/// Errors   kNotFound: no such path, or nothing in it.
///          kMismatch: several could be meant; the message lists them.
Result<AdapterLocation> LocateAdapter(const std::filesystem::path& path);

/// The weights beside an adapter_config.json: adapter_model.safetensors, or adapter_model.bin where
/// there is no other, or their index; mlx-lm: adapters.safetensors.
/// Errors   kNotFound: neither.
///          kUnsupported: only a file of a format graft does not read.
Result<std::filesystem::path> WeightsBeside(const std::filesystem::path& config_folder,
                                            AdapterType type);

}  // namespace graft::converter
