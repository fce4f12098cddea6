// SPDX-License-Identifier: Apache-2.0
// What the bytes of a pickle are called, and which Python names it may ask for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

enum class PickleOpcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kBuild = 'b',
  kGlobal = 'c',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// "REDUCE", "BUILD", ...: every instruction of Python's, those graft does not read among them;
/// "0x42" for a byte that is none.
std::string PickleOpcodeName(uint8_t opcode);

enum class PickleGlobal : uint8_t { kOrderedDict, kRebuildTensor, kRebuildParameter, kStorage };

/// One of the Python names a pickle may ask for.
struct AllowedGlobal {
  std::string_view module;
  std::string_view name;
  PickleGlobal global = PickleGlobal::kOrderedDict;
  DType dtype = DType::kFloat32;  ///< Of a kStorage.
};

/// Null if it is none of them. The pointer is good forever.
const AllowedGlobal* FindAllowedGlobal(std::string_view module, std::string_view name);

}  // namespace graft::converter
