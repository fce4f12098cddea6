/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: tells what memory a model will take, and gives back what can be made again. */
#ifndef GRAFT_MEMORY_H_
#define GRAFT_MEMORY_H_

#include <graft/model.h>
#include <graft/session.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a model, and one session with a full context, will take. Resident bytes are those that graft
 * adds to the process, its code included, to within some percent. File bytes that are mapped can be
 * dropped by the system and read again; private ones cannot. */
typedef struct graft_memory_estimate {
  size_t struct_size;      /* set by the caller */
  uint32_t context_tokens; /* what the options and defaults came to, here ... */
  uint32_t threads;        /* ... here ... */
  int32_t kv_format;       /* ... and here: GRAFT_KV_F32, F16 or I8 */
  uint64_t file_bytes;
  uint64_t packed_bytes;     /* of all packed weights */
  uint64_t kv_bytes;         /* keys and values of the whole context; states */
  uint64_t activation_bytes; /* of a prefill_chunk; of encoders, one text of the whole context */
  /* Without a cache_folder: */
  uint64_t peak_bytes;    /* resident at the highest moment from opening the model on */
  uint64_t steady_bytes;  /* resident once the context is full */
  uint64_t private_bytes; /* of those, private */
  /* With a cache_folder that has the packed weights: */
  uint64_t cached_peak_bytes;
  uint64_t cached_steady_bytes;
  uint64_t cached_private_bytes;
  /* With a cache_folder that does not have them yet: */
  uint64_t storing_peak_bytes; /* later as if it had */
} graft_memory_estimate;

/* Tells what opening `path` and a session with `options` (may be NULL) will take, from the file's
 * header and this CPU. Nothing is packed, and no weight is read. memory_limit_bytes is left aside.
 * *estimate is the caller's.
 * Thread   Any.
 * Errors   As graft_model_open.
 *          INVALID_ARGUMENT: as graft_session_create.
 *          OUT_OF_MEMORY: a size that no address space holds.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_estimate(const char* path,
                                                             const graft_session_options* options,
                                                             graft_memory_estimate* estimate,
                                                             graft_error* error);
/* The same for `size` bytes at `offset` of an open file, as graft_model_open_fd takes them. The
 * descriptor stays the caller's.
 * Thread   Any.
 * Errors   As graft_model_estimate and graft_model_open_fd.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_estimate_fd(
    int fd, uint64_t offset, uint64_t size, const graft_session_options* options,
    graft_memory_estimate* estimate, graft_error* error);

/* The same for what `pack` makes of the model at `path`, with graft_model_options.pack.
 * Thread   Any.
 * Errors   As graft_model_estimate.
 *          MISMATCH: the pack is made for another file.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_estimate_pack(
    const char* path, const graft_pack* pack, const graft_session_options* options,
    graft_memory_estimate* estimate, graft_error* error);

/* Gives back what a model can read again from its file and its cache, and what its tokenizer
 * remembers. The next call reads it; results stay the same. Weights packed into memory stay.
 * Thread   Any, also while sessions compute.
 * Errors   None of its own.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_trim(const graft_model* model,
                                                         graft_error* error);
/* Gives back what a session can make again: activations, outputs, room for tokens that are not
 * held. Tokens stay, and so does what the next call gives. Logits and outputs of the last call are
 * gone.
 * Thread   The session's.
 * Errors   None of its own.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_trim(graft_session* session,
                                                           graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_MEMORY_H_ */
