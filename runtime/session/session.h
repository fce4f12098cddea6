// SPDX-License-Identifier: Apache-2.0
// Session: one conversation with a model. Owns the activations, the KV cache and the threads; one
// caller at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/executor/profile.h"
#include "runtime/model/model.h"
#include "runtime/platform/cpus.h"
#include "schema/result.h"

namespace graft::runtime {

enum class KvFormat : uint8_t { kAuto, kFloat32, kFloat16, kInt8 };

struct SessionOptions {
  unsigned threads = 0;         ///< 0: one for each of cpus, or the model's
  uint32_t context_tokens = 0;  ///< 0: the model's, at most 4096
  uint32_t prefill_chunk = 0;   ///< 0: 128
  KvFormat kv_format = KvFormat::kAuto;
  CpuSet cpus = {};                 ///< where the threads run; empty: anywhere
  uint64_t memory_limit_bytes = 0;  ///< weights, caches and activations; 0: the model's
};

enum class ElementType : uint8_t { kFloat32 = 0, kInt32 = 1 };

struct TextBatch;
class PictureImages;

/// A dense row-major tensor that someone else owns.
struct TensorView {
  std::string name;
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

/// What the steps of one kind took while they were measured.
struct StepTime {
  const char* kind = "";
  StepTotals totals;
};

class Session {
 public:
  static Result<std::unique_ptr<Session>> Create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options);
  ~Session();
  /// Lets go of the model and of all that was made for it; no tokens are held. Until Attach only
  /// position and the functions about cancelling may be called.
  void Detach();
  /// Makes the session anew on `model`, with the options that it was created with.
  /// Errors   as Create; the session is then detached.
  Status Attach(std::shared_ptr<const Model> model);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Model& model() const;
  uint32_t context_tokens() const;  ///< positions there is room for
  size_t position() const;          ///< tokens held
  unsigned threads() const;
  /// Packed weights that one token reads. Bytes of the cache that one position takes.
  uint64_t weight_bytes() const;
  uint64_t cache_bytes_per_token() const;
  KvFormat kv_format() const;  ///< never kAuto

  /// Forgets everything from position `tokens` on.
  /// Errors   kOutOfRange if fewer are held.
  Status Rewind(size_t tokens);

  /// Rewinds to the longest beginning of `ids` that is held, less than all of them, so that what is
  /// left to append gives logits. Returns its length.
  size_t KeepPrefix(std::span<const int32_t> ids);

  /// Puts the tokens held and their keys and values into a file, in place of an older one, and
  /// takes them from it. The file belongs to one model, one format of keys and values, and graft's
  /// version of it: see runtime/saved_session.h. Restoring replaces what is held; it stays if the
  /// file is refused, and nothing is held if the file's contents turn out damaged.
  /// Errors   kUnsupported: the model does not generate text; those of WriteSavedSession and
  ///          ReadSavedSession.
  Status Save(const char* path) const;
  Status Restore(const char* path);

  /// Computes what an encoder-decoder attends to: of ids i32 [tokens], or of features f32, whose
  /// dimensions of 1 do not count. It is kept until another is set; what was appended is forgotten,
  /// unless the source is the one that is held, which costs no more than hashing it. On failure
  /// nothing is held, neither of the source nor of tokens, but if the source is refused all is kept.
  /// Errors   kUnsupported: the model takes no source;
  ///          kInvalidArgument, kOutOfRange: a source it does not take; kCancelled.
  Status SetSource(const TensorView& source);
  /// Rows held of the source; 0: none was set.
  size_t source_rows() const;

  /// Says which pictures the text is about, in its order, and computes what the model sees of those
  /// that are new; of the others it is kept, by what they are made of. Tokens are forgotten from the
  /// first on that stands for a picture which is another now. Without pictures the tokens that stand
  /// for them are words like others. What fails leaves the pictures before it.
  /// Errors   kUnsupported: the model takes no pictures;
  ///          kInvalidArgument, kOutOfRange: more pictures, or larger ones, than it takes;
  ///          kCancelled, kOutOfMemory.
  Status SetPictures(std::span<PictureImages* const> pictures);
  /// Whether a whole text has as many tokens for pictures as those set take, if any are.
  /// Errors   kInvalidArgument.
  Status CheckPictureTokens(std::span<const int32_t> ids) const;

  /// Appends ids in chunks. *logits (may be null) receives vocabulary() floats of the last id,
  /// valid until the next call. On failure nothing was appended.
  /// Errors   kOutOfRange, kCancelled.
  Status Append(std::span<const int32_t> ids, const float** logits);

  /// The same, but that every id gives what it would give if it were appended alone, bit for bit.
  /// *logits receives those of the last `rows` ids, one behind the other. Where states are kept, and
  /// there are several rows, a copy is kept of where the call began: going back there costs nothing.
  /// Requires 1 <= rows <= ids.size(), and ids.size() <= most_rows() unless rows is 1.
  /// Errors   those of Append.
  Status AppendSingly(std::span<const int32_t> ids, size_t rows, const float** logits);
  size_t most_rows() const;   ///< that are computed at a time
  bool keeps_states() const;  ///< beside keys and values: going back may mean computing again
  std::span<const int32_t> tokens() const;  ///< held

  /// Computes the whole graph from position 0 on named inputs, every output row. A graph of texts
  /// takes several at once: see PackTexts and ForwardTexts in runtime/text_batch.h. Where all
  /// shapes are fixed, inputs may have one more dimension in front, the number of items, which are
  /// computed one after the other; outputs have it too, in place of a first dimension of 1. The
  /// views returned live until the next call. Of an encoder-decoder the source is among the inputs,
  /// and SetSource is done with it; of a decoder that takes pictures their pixels may be, f32
  /// [..., channels, height, width], and SetPictures is.
  /// Errors   kInvalidArgument, kOutOfRange, kCancelled; each names the input and what was
  ///          expected.
  Result<std::span<const TensorView>> Forward(std::span<const TensorView> inputs);

  /// Computes a graph of texts on texts that are packed already.
  /// Errors   as Forward;
  ///          kUnsupported: the graph takes no texts.
  Result<std::span<const TensorView>> Forward(const TextBatch& texts);

  /// Makes what runs now, or the next call if none does, return kCancelled: each thread finishes
  /// the task it is at, which is a slice of one op. See ClearCancel. Any thread.
  void Cancel();
  /// Forgets a Cancel that came while nothing ran. Called at the start of each C API call.
  void ClearCancel();
  bool cancelled() const;
  /// For what is done on the session's behalf.
  const std::atomic<bool>& cancel() const;

  /// Gives back memory that the next call can do without or make again: activations, outputs, and
  /// keys and values of positions that are not held. What the last call returned is gone; tokens
  /// stay.
  void Trim();

  /// Starts measuring from zero, or stops. Measuring costs two readings of the clock for each task
  /// and each step of a chain; nothing while it is off.
  void MeasureSteps(bool on);
  /// What was measured so far, longest first. Kept until measuring starts again.
  std::vector<StepTime> step_times() const;

 private:
  class Impl;
  explicit Session(SessionOptions options);

  const SessionOptions options_;
  std::atomic<bool> cancelled_{false};
  std::unique_ptr<Impl> impl_;  // null: detached
};

}  // namespace graft::runtime
