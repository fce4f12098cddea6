// SPDX-License-Identifier: Apache-2.0
// Two tables: Python's instructions by number, and the allowed names.
#include "converter/formats/pickle_names.h"

#include <cstdio>

namespace graft::converter {
namespace {

struct NamedOpcode {
  uint8_t opcode;
  const char* name;
};

constexpr NamedOpcode kOpcodes[] = {
    {'(', "MARK"},
    {'.', "STOP"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'J', "BININT"},
    {'K', "BININT1"},
    {'L', "LONG"},
    {'M', "BININT2"},
    {'N', "NONE"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {'R', "REDUCE"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'X', "BINUNICODE"},
    {'a', "APPEND"},
    {'b', "BUILD"},
    {'c', "GLOBAL"},
    {'d', "DICT"},
    {'}', "EMPTY_DICT"},
    {'e', "APPENDS"},
    {'g', "GET"},
    {'h', "BINGET"},
    {'i', "INST"},
    {'j', "LONG_BINGET"},
    {'l', "LIST"},
    {']', "EMPTY_LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'q', "BINPUT"},
    {'r', "LONG_BINPUT"},
    {'s', "SETITEM"},
    {'t', "TUPLE"},
    {')', "EMPTY_TUPLE"},
    {'u', "SETITEMS"},
    {'G', "BINFLOAT"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x80, "PROTO"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x85, "TUPLE1"},
    {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},
    {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},
    {0x8a, "LONG1"},
    {0x8b, "LONG4"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

constexpr AllowedGlobal kAllowed[] = {
    {"collections", "OrderedDict", PickleGlobal::kOrderedDict},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::kRebuildTensor},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::kRebuildParameter},
    {"torch", "DoubleStorage", PickleGlobal::kStorage, DType::kFloat64},
    {"torch", "FloatStorage", PickleGlobal::kStorage, DType::kFloat32},
    {"torch", "HalfStorage", PickleGlobal::kStorage, DType::kFloat16},
    {"torch", "BFloat16Storage", PickleGlobal::kStorage, DType::kBFloat16},
    {"torch", "LongStorage", PickleGlobal::kStorage, DType::kInt64},
    {"torch", "IntStorage", PickleGlobal::kStorage, DType::kInt32},
    {"torch", "ShortStorage", PickleGlobal::kStorage, DType::kInt16},
    {"torch", "CharStorage", PickleGlobal::kStorage, DType::kInt8},
    {"torch", "ByteStorage", PickleGlobal::kStorage, DType::kUInt8},
    {"torch", "BoolStorage", PickleGlobal::kStorage, DType::kBool},
};

}  // namespace

std::string PickleOpcodeName(uint8_t opcode) {
  for (const NamedOpcode& known : kOpcodes) {
    if (known.opcode == opcode) return known.name;
  }
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x", opcode);
  return text;
}

const AllowedGlobal* FindAllowedGlobal(std::string_view module, std::string_view name) {
  for (const AllowedGlobal& allowed : kAllowed) {
    if (allowed.module == module && allowed.name == name) return &allowed;
  }
  return nullptr;
}

}  // namespace graft::converter
