// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/mapped_model.h"

#include <sys/mman.h>

#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include "converter/base/input_file.h"

namespace graft::converter {

Result<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<InputFile> file, InputFile::Open(path));
  if (file->size_bytes() == 0) {
    return Error(StatusCode::kCorrupt, "%s: is empty", path.c_str());
  }
  void* data = mmap(nullptr, file->size_bytes(), PROT_READ, MAP_SHARED, file->descriptor(), 0);
  if (data == MAP_FAILED) {
    return Error(StatusCode::kIo, "%s: cannot be mapped: %s", path.c_str(),
                 std::generic_category().message(errno).c_str());
  }
  return std::unique_ptr<MappedFile>(
      new MappedFile(std::span(static_cast<const uint8_t*>(data), file->size_bytes())));
}

MappedFile::~MappedFile() { munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size()); }

Result<std::unique_ptr<MappedModel>> MappedModel::Open(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  const auto verified = schema::Verify(file->bytes());
  if (!verified.ok()) return verified.status().WithContext(path);
  return std::unique_ptr<MappedModel>(new MappedModel(std::move(file), *verified));
}

}  // namespace graft::converter
