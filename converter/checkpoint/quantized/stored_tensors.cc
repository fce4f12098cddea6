// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/stored_tensors.h"

#include <algorithm>

namespace graft::converter {

Status StoredTensor::Fail(const std::string& message, StatusCode code) const {
  return Error(code, "%s: tensor '%s' %s", file->FileOf(*entry).path().c_str(),
               entry->info.name.c_str(), message.c_str());
}

const StoredTensor* StoredTensors::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const StoredTensor& t, std::string_view n) { return t.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

Result<const StoredTensor*> StoredTensors::Get(std::string_view name,
                                               const StoredTensor& of) const {
  const StoredTensor* found = Find(name);
  if (found != nullptr) return found;
  return of.Fail("is quantized, but its '" + std::string(name) + "' is missing");
}

Result<std::vector<double>> ReadSmall(const StoredTensor& tensor, int64_t most) {
  if (tensor.elements() > most) {
    return tensor.Fail("has the shape " + tensor.entry->info.ShapeText() + "; at most " +
                       std::to_string(most) + " numbers belong here");
  }
  std::vector<double> numbers(static_cast<size_t>(tensor.elements()));
  GRAFT_RETURN_IF_ERROR(tensor.file->ReadElements(*tensor.entry, 0, numbers));
  return numbers;
}

Status CheckElements(const StoredTensor& tensor, int64_t elements, const char* why) {
  if (tensor.elements() == elements) return OkStatus();
  return tensor.Fail("has the shape " + tensor.entry->info.ShapeText() + ", but " + why +
                     " asks for " + std::to_string(elements) + " numbers");
}

}  // namespace graft::converter
