// SPDX-License-Identifier: Apache-2.0
// What the files of the C interface share: its handles, and how arguments and errors cross it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/model_slot.h"
#include "runtime/image/prepare_image.h"
#include "runtime/platform/data_source.h"
#include "runtime/session/session.h"
#include "runtime/tasks/text_model.h"
#include "runtime/tools/reply_format.h"
#include "schema/result.h"
#include "schema/verify.h"

struct graft_model {
  std::shared_ptr<graft::capi::ModelSlot> slot;

  std::shared_ptr<const graft::runtime::TextModel> text() const { return slot->state()->text; }
};

struct graft_session {
  std::shared_ptr<graft::capi::ModelSlot> slot;
  mutable std::shared_ptr<const graft::runtime::TextModel> model;  // null: not since a swap
  std::unique_ptr<graft::runtime::Session> session;
  std::vector<graft_tensor> outputs;
  std::vector<float> numbers = {};      // embeddings, scores
  std::vector<int32_t> token_ids = {};  // that scores are of
};

namespace graft::capi {

/// Tells the caller how it went, and returns the code.
graft_status Report(const Status& status, graft_error* error);
/// The same of an allocation that failed.
graft_status ReportOutOfMemory(graft_error* error);

/// Runs `work`, a function of graft.h that gives a Status, and tells the caller how it went. This is
/// the one place where an allocation that failed below ends: what it unwound through gave back what
/// it held.
template <typename Work>
graft_status Call(const Work& work, graft_error* error) {
  try {
    return Report(work(), error);
  } catch (const std::bad_alloc&) {
    return ReportOutOfMemory(error);
  } catch (const std::length_error&) {  // more than a string or a vector can ever hold
    return ReportOutOfMemory(error);
  }
}

Status NullArgument(const char* name);

/// The same of a function of a session: no swap comes between.
template <typename Work>
graft_status CallIn(const graft_session* session, const Work& work, graft_error* error) {
  return Call(
      [&]() -> Status {
        if (session == nullptr) return NullArgument("session");
        GRAFT_RETURN_IF_ERROR(session->slot->Enter(*session));
        struct Leaving {
          ~Leaving() { slot.Leave(); }
          ModelSlot& slot;
        } leaving{*session->slot};
        return work();
      },
      error);
}

/// What the templates below do, once for all structs. `size` is the caller's struct_size; what this
/// library knows of the struct has `known` bytes.
Status ReadStructBytes(const void* from, size_t size, size_t known, const char* name, void* to);
Status CheckOutStructSize(size_t size, const char* name);
void WriteStructBytes(const void* from, size_t known, void* to, size_t size);

/// Copies a struct whose caller may know fewer fields than this library, or more, as long as those
/// are zero. `from` may be null, which means all defaults.
template <typename T>
Status ReadStruct(const T* from, const char* name, T* to) {
  *to = T{};
  return from == nullptr ? OkStatus()
                         : ReadStructBytes(from, from->struct_size, sizeof(T), name, to);
}

/// The keys of options, copied.
Status ReadTrustedKeys(const graft_model_options& options, std::vector<schema::PublicKey>* keys);
/// A signature that a caller gives, or that lies in a file.
struct GivenSignature {
  const void* data = nullptr;
  size_t size = 0;
  const char* path = nullptr;  ///< Of the signed file; null: the signature must be given.
};
/// Whether one of the keys has signed the source's bytes; reads all of them. No keys: nothing is
/// asked.
/// Errors   kMismatch, naming the file: nobody of them has.
Status CheckSignature(const runtime::DataSource& source, const GivenSignature& signature,
                      std::span<const schema::PublicKey> keys, unsigned threads, const char* name);

/// The file that `pack` makes of `opened.base`, or that base if it is null.
Result<std::shared_ptr<const runtime::DataSource>> WithPack(const OpenedAs& opened,
                                                            const graft_pack* pack);
/// What messages about the file call it: the pack if there is one.
const char* NameOf(const graft_pack* pack, const char* base_name);

/// How a model writes calls: by name, or if that is null or empty as its template tells, which
/// template_text stands in for unless it is null.
/// Requires state for no name.
/// Errors   kInvalidArgument: no format is called so.
Result<const runtime::ReplyFormat*> FormatNamed(const char* name, const ModelState* state,
                                                const char* template_text);

/// Type, shape and data of a tensor that messages call `name`.
Status ReadTensor(const graft_tensor& tensor, const char* name, runtime::TensorView* view);

/// Format, sides and place of an image, which are not checked any further.
/// Errors   kInvalidArgument: a format that there is none of.
Status ReadImage(const graft_image& image, runtime::ImageView* view);

/// options may be null.
Status ReadSessionOptions(const graft_session_options* options, runtime::SessionOptions* to);

template <typename T>
Status CheckOutStruct(const T* out, const char* name) {
  return out == nullptr ? NullArgument(name) : CheckOutStructSize(out->struct_size, name);
}

/// Fills in as many fields as the caller knows, and zeros those that only the caller knows;
/// struct_size stays the caller's.
template <typename T>
void WriteStruct(T from, T* to) {
  from.struct_size = to->struct_size;
  WriteStructBytes(&from, sizeof(T), to, to->struct_size);
}

/// Copies what fits of `from` and says how much there is.
template <typename T, typename Source>
Status CopyOut(const Source& from, const char* what, T* to, size_t capacity, size_t* count) {
  std::copy_n(from.begin(), std::min(from.size(), capacity), to);
  *count = from.size();
  if (from.size() <= capacity) return OkStatus();
  return Error(StatusCode::kOutOfRange, "%zu %s do not fit in a capacity of %zu", from.size(), what,
               capacity);
}

}  // namespace graft::capi
