// SPDX-License-Identifier: Apache-2.0
// Gives graft_session_forward tensors that the bytes describe: names, types, shapes and numbers
// that may fit the model, each other, or nothing. A call that succeeds has outputs of the shapes it
// names.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/support/fuzz_models.h"
#include "tests/runtime/c_api/task_models.h"

namespace {

namespace fb = graft::schema::fb;
using graft::fuzz::OpenedModel;

const OpenedModel& ModelOf(uint8_t kind) {
  static const OpenedModel models[] = {
      OpenedModel(graft::fuzz::TextModel()),
      OpenedModel(graft::test::TextTaskModel(fb::TaskKind::Embedding)),
      OpenedModel(graft::test::TextTaskModel(fb::TaskKind::TokenClassification)),
      OpenedModel(graft::test::TextTaskModel(fb::TaskKind::Classification, true)),
      OpenedModel(graft::test::ImageTaskModel(fb::TaskKind::Classification))};
  return models[kind % std::size(models)];
}

// Reads the input from its front.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Next() { return size_ == 0 ? uint8_t{0} : (--size_, *data_++); }

 private:
  const uint8_t* data_;
  size_t size_;
};

struct Input {
  std::string name;
  std::unique_ptr<int32_t[]> numbers;  // as many as the shape says, for sanitizers to see more
};

constexpr const char* kNames[] = {"input_ids", "attention_mask", "token_type_ids",
                                  "positions", "ends",           "output_rows",
                                  "pixels",    "pixel_values",   ""};

graft_tensor NextTensor(Bytes& bytes, Input& storage) {
  graft_tensor tensor = {};
  const uint8_t name = bytes.Next();
  storage.name = kNames[name % std::size(kNames)];
  if (name >= 0xf0) storage.name += static_cast<char>(bytes.Next());
  tensor.type = bytes.Next() % 8 == 7 ? static_cast<int32_t>(bytes.Next()) : bytes.Next() % 2;
  tensor.rank = bytes.Next() % 16 == 15 ? bytes.Next() : bytes.Next() % 5;
  uint64_t elements = 1;
  bool is_there = true;  // what a shape promises must be there to be read: else there is no data
  for (uint32_t d = 0; d < std::min<uint32_t>(tensor.rank, GRAFT_MAX_RANK); ++d) {
    const uint8_t size = bytes.Next();
    tensor.shape[d] =
        size < 0xf0 ? size % 16 : static_cast<int64_t>(uint64_t{bytes.Next()} << (size % 64));
    is_there = is_there && tensor.shape[d] >= 0 && tensor.shape[d] <= 4096;
    elements = is_there ? elements * static_cast<uint64_t>(tensor.shape[d]) : 0;
    is_there = is_there && elements <= 1 << 16;
  }
  if (!is_there) elements = 0;
  storage.numbers = std::make_unique<int32_t[]>(elements);
  const uint8_t first = bytes.Next();
  for (uint64_t i = 0; i < elements; ++i) {
    const uint8_t number = i < 24 ? bytes.Next() : first;
    storage.numbers[i] =
        number < 0xf0 ? number : static_cast<int32_t>(uint32_t{number} << (number % 32));
  }
  tensor.data = !is_there || (elements == 0 && first % 2 == 0) ? nullptr : storage.numbers.get();
  return tensor;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  const OpenedModel& opened = ModelOf(bytes.Next());
  if (opened.session() == nullptr) std::abort();
  std::vector<Input> storage(8);
  std::vector<graft_tensor> inputs;
  while (!bytes.empty() && inputs.size() < storage.size())
    inputs.push_back(NextTensor(bytes, storage[inputs.size()]));
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].name = storage[i].name.c_str();
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  const graft::fuzz::Watch watch(opened.session());
  if (graft_session_forward(opened.session(), inputs.data(), inputs.size(), &outputs, &count,
                            nullptr) != GRAFT_OK)
    return 0;
  uint32_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t elements = 1;
    for (uint32_t d = 0; d < outputs[i].rank; ++d)
      elements *= static_cast<size_t>(outputs[i].shape[d]);
    for (size_t e = 0; e < elements; ++e) {
      uint32_t bits = 0;
      std::memcpy(&bits, static_cast<const uint8_t*>(outputs[i].data) + 4 * e, 4);
      sum += bits;
    }
  }
  volatile uint32_t sink = sum;
  static_cast<void>(sink);
  return 0;
}
