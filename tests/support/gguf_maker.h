// SPDX-License-Identifier: Apache-2.0
// GgufMaker: GGUF files of a few settings and tensors, written from the format's description.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "converter/formats/gguf/gguf_types.h"

namespace graft::converter {

class GgufMaker {
 public:
  void SetAlignment(size_t alignment) { alignment_ = alignment; }

  void Text(std::string_view key, std::string_view text) {
    Key(key, 8);
    AddText(text, &settings_);
  }
  void Integer(std::string_view key, uint32_t value) {
    Key(key, 4);
    Add(value, &settings_);
  }
  void Number(std::string_view key, float value) {
    Key(key, 6);
    Add(value, &settings_);
  }
  void Flag(std::string_view key, bool value) {
    Key(key, 7);
    settings_ += value ? '\1' : '\0';
  }
  void Texts(std::string_view key, const std::vector<std::string>& texts) {
    List(key, 8, texts.size());
    for (const std::string& text : texts) AddText(text, &settings_);
  }
  void Floats(std::string_view key, const std::vector<float>& values) {
    List(key, 6, values.size());
    for (const float value : values) Add(value, &settings_);
  }
  void Integers(std::string_view key, const std::vector<int32_t>& values) {
    List(key, 5, values.size());
    for (const int32_t value : values) Add(value, &settings_);
  }

  /// The shape's outermost dimension first.
  void Tensor(std::string_view name, uint32_t type, const std::vector<int64_t>& shape,
              std::string_view bytes) {
    AddText(name, &tensors_);
    Add(static_cast<uint32_t>(shape.size()), &tensors_);
    for (auto size = shape.rbegin(); size != shape.rend(); ++size)
      Add(static_cast<uint64_t>(*size), &tensors_);
    Add(type, &tensors_);
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_, '\0');
    Add(static_cast<uint64_t>(data_.size()), &tensors_);
    data_ += bytes;
    ++tensor_count_;
  }
  void TensorOfType(std::string_view name, std::string_view type, const std::vector<int64_t>& shape,
                    std::string_view bytes) {
    for (uint32_t number = 0; number < 64; ++number) {
      const GgufType* found = FindGgufType(number);
      if (found != nullptr && type == found->name) return Tensor(name, number, shape, bytes);
    }
  }
  void Floats32(std::string_view name, const std::vector<int64_t>& shape,
                const std::vector<float>& values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    Tensor(name, 0, shape, bytes);
  }

  std::string Bytes() const {
    std::string file = "GGUF";
    Add(uint32_t{3}, &file);
    Add(tensor_count_, &file);
    Add(setting_count_, &file);
    file += settings_ + tensors_;
    file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_, '\0');
    return file + data_;
  }

 private:
  // Tests run on little-endian machines only.
  template <typename T>
  static void Add(T value, std::string* out) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out->append(bytes, sizeof(T));
  }
  static void AddText(std::string_view text, std::string* out) {
    Add(static_cast<uint64_t>(text.size()), out);
    out->append(text);
  }
  void Key(std::string_view key, uint32_t type) {
    AddText(key, &settings_);
    Add(type, &settings_);
    ++setting_count_;
  }
  void List(std::string_view key, uint32_t type, size_t count) {
    Key(key, 9);
    Add(type, &settings_);
    Add(static_cast<uint64_t>(count), &settings_);
  }

  size_t alignment_ = 32;
  uint64_t tensor_count_ = 0;
  uint64_t setting_count_ = 0;
  std::string settings_;
  std::string tensors_;
  std::string data_;
};

}  // namespace graft::converter
