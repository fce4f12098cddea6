// SPDX-License-Identifier: Apache-2.0
// What a caller says of a pack, as the source of the file that it makes.
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/model/patched_source.h"

namespace graft::capi {
namespace {

using Source = Result<std::unique_ptr<runtime::DataSource>>;

Source OpenPack(const graft_pack& pack, runtime::FileAccess access) {
  if (pack.path != nullptr) return runtime::OpenPath(pack.path, access);
  if (pack.data == nullptr) {
    return runtime::OpenDescriptor(pack.fd, pack.offset, pack.size, access);
  }
  if (pack.size > std::numeric_limits<size_t>::max() / 2) {
    return Status(StatusCode::kInvalidArgument, "pack.size is more than memory holds");
  }
  std::unique_ptr<runtime::DataSource> source(new (std::nothrow) runtime::MemorySource(
      {static_cast<const uint8_t*>(pack.data), static_cast<size_t>(pack.size)}));
  if (source == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a source");
  return source;
}

}  // namespace

const char* NameOf(const graft_pack* pack, const char* base_name) {
  if (pack == nullptr) return base_name;
  graft_pack given;
  const bool has_path = ReadStruct(pack, "pack", &given).ok() && given.path != nullptr;
  return has_path ? given.path : "pack";
}

Result<std::shared_ptr<const runtime::DataSource>> WithPack(const OpenedAs& opened,
                                                            const graft_pack* pack) {
  if (pack == nullptr) return opened.base;
  graft_pack given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(pack, "pack", &given));
  if (given.path != nullptr && given.data != nullptr) {
    return Status(StatusCode::kInvalidArgument, "pack has both a path and data");
  }
  const char* name = NameOf(pack, opened.name.c_str());
  Source source = OpenPack(given, opened.access);
  if (!source.ok()) {
    return given.path != nullptr ? source.status() : source.status().WithContext(name);
  }
  GRAFT_RETURN_IF_ERROR(CheckSignature(**source,
                                       {given.signature, given.signature_size, given.path},
                                       opened.trusted, opened.options.threads, name));
  source = runtime::PatchedSource::Open(opened.base, std::move(source).value(), opened.name.c_str(),
                                        name);
  if (!source.ok()) return source.status();
  return std::shared_ptr<const runtime::DataSource>(std::move(source).value());
}

}  // namespace graft::capi
