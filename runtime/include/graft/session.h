/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: a session is one conversation with a model, with the tokens it holds. */
#ifndef GRAFT_SESSION_H_
#define GRAFT_SESSION_H_

#include <graft/model.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One caller's use of a model: activations, keys and values of the tokens held, threads. */
typedef struct graft_session graft_session;

#define GRAFT_KV_AUTO 0 /* f32 when every weight is f32, else f16 */
#define GRAFT_KV_F32 1
#define GRAFT_KV_F16 2
#define GRAFT_KV_I8 3 /* int8 codes, and a scale for each position's key and value of each head */

/* How a session is made. Zeros are defaults. */
typedef struct graft_session_options {
  size_t struct_size;
  uint32_t threads;        /* default: as the model's; at most those that help: see cpus */
  uint32_t context_tokens; /* positions to make room for; default: the model's, at most 4096 */
  uint32_t prefill_chunk;  /* tokens of a prompt computed at a time; default 128 */
  int32_t kv_format;       /* GRAFT_KV_... */
  /* Of the packed weights, keys and values, token ids, activations and outputs together. What a
   * prefill_chunk of a model of text takes is known, and refused when the session is made. What
   * other inputs take is refused by the call that brings them. Default: the model's limit. */
  uint64_t memory_limit_bytes;
  /* Such as "4-7" or "0,2-3": the session's threads run on these CPUs only, and so does the
   * caller's while it is inside the session. Read during the call. By default there is then one
   * thread for each, and never more. INVALID_ARGUMENT if one does not exist or may not be used.
   * NULL or "": wherever the system puts them, and at most as many as there are big cores. */
  const char* cpus;
} graft_session_options;
#define GRAFT_SESSION_OPTIONS_INIT \
  { sizeof(graft_session_options), 0, 0, 0, 0, 0, NULL }

/* Makes a session on `model`. *session is the caller's to destroy. `options` may be NULL. A context
 * beyond what the model was trained for is allowed.
 * Thread   Any.
 * Errors   OUT_OF_MEMORY: beyond memory_limit_bytes, or keys and values that the machine has no
 *          memory for. The message says what is needed and which context fits; nothing was
 *          allocated.
 *          INVALID_ARGUMENT: options.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_create(graft_model* model,
                                                             const graft_session_options* options,
                                                             graft_session** session,
                                                             graft_error* error);
/* Frees the session, and ends its threads before it returns. NULL is fine.
 * Thread   The session's, once; not from inside a token callback, and not beside a
 *          graft_session_cancel.
 */
GRAFT_API void graft_session_destroy(graft_session* session);
/* Asks whatever runs in the session to stop. It returns CANCELLED once each of its threads has
 * finished the part of an op that it is at. Without effect if nothing runs. NULL is fine.
 * Thread   Any, also a signal handler.
 */
GRAFT_API void graft_session_cancel(graft_session* session);

/* Tokens held; 0 for NULL.
 * Thread   The session's.
 */
GRAFT_API size_t graft_session_position(const graft_session* session);
/* Forgets all tokens.
 * Thread   The session's.
 * Errors   None of its own.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_reset(graft_session* session,
                                                            graft_error* error);
/* Forgets tokens from position `tokens` on. A model that keeps states computes some of the tokens
 * before it again, in the next call: docs/decisions/states.md.
 * Thread   The session's.
 * Errors   OUT_OF_RANGE: there are fewer.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_rewind(graft_session* session, size_t tokens,
                                                             graft_error* error);
/* Rewinds to the longest beginning of `ids` that the session holds, but less than all of them, so
 * that appending the rest gives logits. *kept (may be NULL) receives its length. ids are the
 * caller's.
 * Thread   The session's.
 * Errors   None of its own.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_keep_prefix(graft_session* session,
                                                                  const int32_t* ids, size_t count,
                                                                  size_t* kept, graft_error* error);
/* Writes the tokens held, and what was computed from them, to a file. An older file is replaced
 * only once the new one is whole. The file tells what the tokens are: it is made readable for this
 * user alone.
 * Thread   The session's.
 * Errors   NOT_FOUND: no such folder.
 *          IO.
 *          UNSUPPORTED: the model does not generate text.
 *          CANCELLED: by graft_session_cancel, while a model that keeps states computed some of the
 *          tokens again.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_save(const graft_session* session,
                                                           const char* path, graft_error* error);
/* Takes the tokens of a saved session in place of those held. They must have been saved with the
 * same model, bit for bit, and the same kv_format; threads and prefill_chunk may differ. A refused
 * file changes nothing. After CORRUPT or IO in its contents the session holds no tokens.
 * Thread   The session's.
 * Errors   NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION.
 *          MISMATCH: another model or kv_format.
 *          OUT_OF_RANGE: more tokens than the context holds.
 *          UNSUPPORTED: the model does not generate text.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_restore(graft_session* session,
                                                              const char* path, graft_error* error);

/* What a session is made of. */
typedef struct graft_session_info {
  size_t struct_size; /* set by the caller */
  uint32_t threads;
  uint32_t context_tokens;
  uint64_t weight_bytes;          /* packed weights that computing one token reads */
  uint64_t cache_bytes_per_token; /* keys and values of one position */
  int32_t kv_format;              /* GRAFT_KV_..., what AUTO became */
} graft_session_info;

/* Fills in *info, which is the caller's.
 * Thread   The session's.
 * Errors   INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_get_info(const graft_session* session,
                                                               graft_session_info* info,
                                                               graft_error* error);

/* Measures what the following calls compute, by kind of step (linears, attention, ...). on 1 starts
 * from zero; on 0 stops. While it is off it costs nothing.
 * Thread   The session's.
 * Errors   None of its own.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_measure(graft_session* session, uint8_t on,
                                                              graft_error* error);
/* What the steps of one kind took. */
typedef struct graft_step_time {
  size_t struct_size; /* set by the caller */
  const char* kind;   /* static storage */
  uint64_t calls;
  uint64_t wall_ns;      /* the kinds' wall times add up to that of the computation */
  uint64_t busy_ns;      /* summed over threads */
  uint64_t weight_bytes; /* packed weights read, once a call */
} graft_step_time;
/* Fills in *time, which is the caller's, with the index-th kind of step that ran while measured,
 * the longest first.
 * Thread   The session's.
 * Errors   OUT_OF_RANGE: there are no more.
 *          INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_step_time(const graft_session* session,
                                                                size_t index, graft_step_time* time,
                                                                graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_SESSION_H_ */
