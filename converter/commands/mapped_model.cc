// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/mapped_model.h"

#include <sys/mman.h>

#include <cerrno>
#include <span>
#include <system_error>

#include "converter/base/input_file.h"

namespace graft::converter {

Result<std::unique_ptr<MappedModel>> MappedModel::Open(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<InputFile> file, InputFile::Open(path));
  if (file->size_bytes() == 0) {
    return Error(StatusCode::kCorrupt, "%s: is empty", path.c_str());
  }
  void* data = mmap(nullptr, file->size_bytes(), PROT_READ, MAP_SHARED, file->descriptor(), 0);
  if (data == MAP_FAILED) {
    return Error(StatusCode::kIo, "%s: cannot be mapped: %s", path.c_str(),
                 std::generic_category().message(errno).c_str());
  }
  std::unique_ptr<MappedModel> model(new MappedModel(data, file->size_bytes()));
  auto verified = schema::Verify(std::span(static_cast<const uint8_t*>(data), model->size_bytes_));
  if (!verified.ok()) return verified.status().WithContext(path);
  model->verified_ = std::make_unique<schema::VerifiedModel>(*verified);
  return model;
}

MappedModel::~MappedModel() { munmap(data_, size_bytes_); }

}  // namespace graft::converter
