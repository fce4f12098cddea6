/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: opens a model, and tells what it is. */
#ifndef GRAFT_MODEL_H_
#define GRAFT_MODEL_H_

#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open model: verified, its weights packed for this CPU. Any number of sessions share it. */
typedef struct graft_model graft_model;

/* Where a pack is that makes another model of the one that is opened: `path` is a file's; or `data`
 * and `size` are bytes in memory, which stay the caller's and must outlive the model and its
 * sessions; or, if both are NULL, it is `size` bytes at `offset` of an open file, size 0: up to the
 * file's end. The descriptor may be closed after the call. */
typedef struct graft_pack {
  size_t struct_size;
  const char* path;
  const void* data;
  uint64_t size;
  uint64_t offset;
  int fd;
  /* The pack's signature, as graft_model_options has the model's. */
  const void* signature;
  size_t signature_size;
} graft_pack;
#define GRAFT_PACK_INIT \
  { sizeof(graft_pack), NULL, NULL, 0, 0, -1, NULL, 0 }

/* How a model is opened. Use the _INIT macro, or set struct_size and zero the rest, and fill in
 * what you need. A zero field means its default. */
typedef struct graft_model_options {
  size_t struct_size;
  /* Threads used while loading. Default: as many as help, at most the big cores. */
  uint32_t threads;
  /* 1: also check every segment's checksum, which reads the whole file. */
  uint8_t verify_contents;
  /* A folder for packed weights, made if it is missing; NULL or "": none. Read during the call.
   * The first opening of a model packs its weights for this CPU. It stores them here, in one file
   * of about the model's size. Later openings, of any process, map that file and share its memory.
   * A cache that cannot be used, whatever the reason, is never an error: the weights are then
   * packed into memory, and graft_model_get_info says why.
   * Any number of processes may use a folder. Give models you do not trust a folder of their own.
   *  */
  const char* cache_folder;
  /* Of all files of the folder together. Beyond it, those used longest ago are removed. Default:
   * 8 GiB. */
  uint64_t cache_limit_bytes;
  /* If the packed weights take more, opening returns OUT_OF_MEMORY before anything is allocated.
   * Also the limit of sessions that set none. Default: none. */
  uint64_t memory_limit_bytes;
  /* 1: read the file into memory instead of mapping it, for a file that others may change while
   * the model is open. Takes memory of the file's size as long as the model lives. */
  uint8_t read_file;
  /* What the model is to become, byte for byte as it was packed: results, speed and identity are
   * those of the file that the pack makes. NULL: the model as it is. Read during the call.
   * Where the two files are the same, the model's mapped pages are used. The rest is made in memory
   * when it is needed; of weights that are packed nothing stays but what is packed. A pack that was
   * made for another file gives MISMATCH. */
  const graft_pack* pack;
  /* Ed25519 public keys, trusted_key_count times 32 bytes. If there are any, only files that one of
   * them has signed are opened, packs among them, now and in graft_model_swap; another gives
   * MISMATCH. The whole file is read for it. Default: none, and nothing is checked. Read during the
   * call. See docs/trust.md. */
  const uint8_t* trusted_keys;
  size_t trusted_key_count;
  /* The model's signature, signature_size bytes, read during the call. NULL: of a model that is
   * opened by its path, the file of that name with .sig behind it. */
  const void* signature;
  size_t signature_size;
} graft_model_options;
#define GRAFT_MODEL_OPTIONS_INIT \
  { sizeof(graft_model_options), 0, 0, NULL, 0, 0, 0, NULL, NULL, 0, NULL, 0 }

/* Maps and verifies a file, and packs its weights or maps them from the cache. *model is the
 * caller's to destroy. `options` and `error` may be NULL.
 * A mapped file must not shrink while the model lives, or be written to: reading what is gone ends
 * the process with SIGBUS, as with every mapping. Replacing it by renaming another over it is
 * safe, copying another over it is not. options.read_file is for files of which this is not sure.
 * Thread   Any.
 * Errors   NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION, OUT_OF_MEMORY.
 *          UNSUPPORTED: an op or format that this library or CPU does not have.
 *          MISMATCH: options.pack is made for another file; no trusted key has signed a file.
 *          INVALID_ARGUMENT: options.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_open(const char* path,
                                                         const graft_model_options* options,
                                                         graft_model** model, graft_error* error);
/* The same for `size` bytes at `offset` of an open file; size 0: up to the file's end. The
 * descriptor stays the caller's and may be closed after the call. The offset need not be a multiple
 * of the page size. If it is not a multiple of 64, the bytes are read into memory instead of
 * mapped. What is said of a mapped file above holds here too.
 * Thread   Any.
 * Errors   As graft_model_open.
 *          INVALID_ARGUMENT: the range is not in the file.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_open_fd(int fd, uint64_t offset, uint64_t size,
                                                            const graft_model_options* options,
                                                            graft_model** model,
                                                            graft_error* error);
/* The same for bytes in memory. They stay the caller's, must be aligned to 64 bytes, and must
 * outlive the model and its sessions.
 * Thread   Any.
 * Errors   As graft_model_open.
 *          INVALID_ARGUMENT: alignment.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_open_memory(const void* data, size_t size,
                                                                const graft_model_options* options,
                                                                graft_model** model,
                                                                graft_error* error);
/* Turns the model into what `pack` makes of the base that it was opened as, or back into that base
 * if `pack` is NULL, in the place of what it is: memory of weights that differ is written anew, the
 * rest stays. Options are those of the opening. What the pack points to is needed as with
 * graft_model_open; what the pack before it pointed to is not any more.
 * Sessions stay and keep their options. They hold no tokens afterwards, and what they returned is
 * gone; so are strings that the model gave. A call of a session that comes meanwhile waits.
 * After a failure the model and its sessions are as they were.
 * Thread   Any.
 * Errors   As graft_model_open.
 *          FAILED_PRECONDITION: a session of this model computes, maybe the one whose callback this
 *          is.
 *          MISMATCH: the pack is made for another file.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_swap(graft_model* model, const graft_pack* pack,
                                                         graft_error* error);
/* Frees the model once its last session is gone. NULL is fine. If packed weights are still on their
 * way to the disk, the last to go waits for them.
 * Thread   Any, once, after all other calls on the handle have returned.
 */
GRAFT_API void graft_model_destroy(graft_model* model);

#define GRAFT_TASK_TENSORS 0
#define GRAFT_TASK_TEXT_GENERATION 1
#define GRAFT_TASK_EMBEDDING 2            /* the first output is a vector for each text or image */
#define GRAFT_TASK_CLASSIFICATION 3       /* ... a score for each label, for each text or image */
#define GRAFT_TASK_TOKEN_CLASSIFICATION 4 /* ... a score for each label, for each token */

#define GRAFT_CACHE_OFF 0    /* no cache folder was given, or nothing is to be packed */
#define GRAFT_CACHE_HIT 1    /* packed weights were mapped from the cache; their checksums held */
#define GRAFT_CACHE_STORED 2 /* they were packed into a file of the cache, for the next opening */
#define GRAFT_CACHE_FAILED 3 /* they were packed into memory; cache_note says why */

#define GRAFT_SOURCE_NONE 0     /* the model is no encoder-decoder */
#define GRAFT_SOURCE_TEXT 1     /* ids, as graft_model_encode_source gives them */
#define GRAFT_SOURCE_FEATURES 2 /* numbers, such as a spectrogram */

/* What a model is. Strings belong to the model and live as long as it does, or until it is swapped.
 */
typedef struct graft_model_info {
  size_t struct_size;       /* set by the caller */
  int32_t task;             /* GRAFT_TASK_... */
  const char* architecture; /* "" if the file does not say */
  uint32_t context_tokens;  /* positions the model was trained for; 0: unbounded */
  uint32_t vocabulary;      /* token ids are below this; 0: not a token model */
  uint8_t has_tokenizer;
  uint64_t file_bytes;
  uint64_t identity_high; /* hash of graph and weights: equal for equal models */
  uint64_t identity_low;
  int32_t cache_state; /* GRAFT_CACHE_...; STORED may turn into FAILED while the disk is written */
  uint64_t packed_bytes; /* of all packed weights */
  char cache_note[256]; /* why a file of the cache was not taken or not stored; "" if all is well */
  uint8_t has_chat_template; /* graft_model_render_chat works without a template of the caller's */
  uint8_t takes_images;      /* graft_session_classify_images or _embed_images works, by task */
  uint8_t takes_source;      /* GRAFT_SOURCE_...: what graft_session_set_source takes */
  uint32_t sample_rate;   /* of the sound that graft_session_transcribe takes; 0: it takes none */
  uint8_t takes_pictures; /* graft_session_set_pictures works */
} graft_model_info;

/* Fills in *info, which is the caller's.
 * Thread   Any.
 * Errors   INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_get_info(const graft_model* model,
                                                             graft_model_info* info,
                                                             graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_MODEL_H_ */
