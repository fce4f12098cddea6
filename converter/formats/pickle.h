// SPDX-License-Identifier: Apache-2.0
// Reads what torch.save pickles of a dict of tensors, and nothing else: names, shapes and places of
// tensors come out, no object is ever built and nothing is ever called.
//
// A pickle is a program for a stack machine, one byte for each instruction and its operand behind
// it (CPython, Lib/pickletools.py). Read are protocols 2 to 5, those instructions that torch.save
// emits for such a dict, and these globals:
//   collections OrderedDict               an empty dict
//   torch FloatStorage, HalfStorage, ...  the element type of a storage
//   torch._utils _rebuild_tensor_v2       a view of a storage: offset, sizes, strides
//   torch._utils _rebuild_parameter       its tensor, unchanged
// Anything else ends the reading with the instruction's or the global's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// All are checked before memory is taken.
struct PickleLimits {
  uint64_t max_bytes = uint64_t{32} << 20;
  uint32_t max_values = 4'000'000;  ///< Values, members of tuples, items of dicts and memo places.
  uint32_t max_stack = 1'000'000;
  uint32_t max_marks = 64;  ///< Depth of nesting.
  uint32_t max_tensors = 200'000;
  uint32_t max_string_bytes = 4096;
  uint32_t max_storage_key_bytes = 64;
};

/// A tensor as the pickle describes it, in elements of its type. Only the types are checked: sizes,
/// strides and offset are still whatever the file says.
struct PickledTensor {
  std::string name;
  DType dtype = DType::kFloat32;
  std::string storage_key;
  int64_t storage_elements = 0;
  int64_t offset = 0;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
};

/// The tensors of a pickled dict from names to tensors, in its order. The dict may lie in another
/// one under the key "state_dict", "model_state_dict" or "model", if beside it there are only plain
/// numbers, strings and None. `context` begins the messages: the file's name.
/// Errors   kUnsupported: an instruction or a global other than those above, a dict that holds
///          something else.
///          kCorrupt: cut short, beyond a limit, arguments that do not fit, a name twice. Messages
///          name the byte of the pickle.
Result<std::vector<PickledTensor>> ReadPickledTensors(std::span<const uint8_t> pickle,
                                                      const std::string& context,
                                                      const PickleLimits& limits = {});

}  // namespace graft::converter
