/* SPDX-License-Identifier: Apache-2.0
 * graft: runs a .graft model file. The only installed header; C99.
 *
 * Functions return GRAFT_OK (0) or a graft_status code. An optional graft_error, owned by the
 * caller, receives the code and a sentence. Out-parameters are untouched on failure. Strings are
 * UTF-8. Every function returns INVALID_ARGUMENT for a NULL that is not allowed, naming it, and
 * those that allocate OUT_OF_MEMORY; "Errors" lists the others.
 *
 * Threads   "Any thread": with no rule, also beside other calls on the same model. "The session's
 * thread": one call at a time in a session, from whichever thread; graft_session_cancel alone may
 * come meanwhile. No function keeps a thread after the last session and model are destroyed.
 * Lifetime  A session keeps its model alive: they may be destroyed in either order.
 * Structs   Those with struct_size grow at their ends. The caller sets it to sizeof as it was
 * compiled. In options that are shorter than this library knows, what is missing has its default;
 * in longer ones, what the library does not know must be zero, else INVALID_ARGUMENT. Of results,
 * no more than struct_size bytes are written, and what the library does not know is set to zero.
 */
#ifndef GRAFT_GRAFT_H_
#define GRAFT_GRAFT_H_

#include <stddef.h>
#include <stdint.h>

#if defined(GRAFT_SHARED) && defined(__GNUC__)
#define GRAFT_API __attribute__((visibility("default")))
#else
#define GRAFT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define GRAFT_VERSION_MAJOR 0
#define GRAFT_VERSION_MINOR 1
#define GRAFT_VERSION_PATCH 0

typedef int32_t graft_status;
#define GRAFT_OK 0
#define GRAFT_INVALID_ARGUMENT 1
#define GRAFT_OUT_OF_RANGE 2
#define GRAFT_FAILED_PRECONDITION 3
#define GRAFT_UNSUPPORTED 4
#define GRAFT_CORRUPT 20
#define GRAFT_UNSUPPORTED_VERSION 21
#define GRAFT_MISMATCH 22
#define GRAFT_NOT_FOUND 40
#define GRAFT_IO 41
#define GRAFT_OUT_OF_MEMORY 42
#define GRAFT_CANCELLED 60
#define GRAFT_INTERNAL 61

/* What went wrong. Owned by the caller; nothing in it needs freeing. message is terminated and may
 * be cut short. */
typedef struct graft_error {
  graft_status code;
  char message[508];
} graft_error;

typedef struct graft_model graft_model;
typedef struct graft_session graft_session;

/* "0.1.0". Static storage. Any thread. */
GRAFT_API const char* graft_version(void);
/* "ok", "corrupt", ...; never NULL. Static storage. Any thread. */
GRAFT_API const char* graft_status_name(graft_status status);

/* ---- Models ---- */

/* Use the _INIT macro, or set struct_size and zero the rest, and fill in what you need. A zero
 * field means its default. */
typedef struct graft_model_options {
  size_t struct_size;
  uint32_t threads;        /* used while loading; default: as many as help, at most the big cores */
  uint8_t verify_contents; /* 1: also check every segment's checksum, which reads the whole file */
  /* A folder for packed weights, made if it is missing; NULL or "": none. Read during the call. The
   * first opening of a model packs its weights for this CPU and stores them here, in one file of
   * about the model's size; later ones, of any process, map that file and share its memory. A cache
   * that cannot be used, whatever the reason, is never an error: the weights are then packed into
   * memory, and graft_model_get_info says why. Any number of processes may use a folder. Give
   * models you do not trust a folder of their own. */
  const char* cache_folder;
  uint64_t cache_limit_bytes;  /* of all files of the folder together, beyond which those used
                                * longest ago are removed; default 8 GiB */
  uint64_t memory_limit_bytes; /* OUT_OF_MEMORY, before anything is allocated, if the packed weights
                                * take more; also the limit of sessions that set none. Default:
                                * none */
} graft_model_options;
#define GRAFT_MODEL_OPTIONS_INIT \
  { sizeof(graft_model_options), 0, 0, NULL, 0, 0 }

/* Maps and verifies a file, and packs its weights or maps them from the cache. *model is the
 * caller's to destroy. `options` and `error` may be NULL. Any thread.
 * Errors  NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION, UNSUPPORTED (an op or format that this
 * library or CPU does not have), OUT_OF_MEMORY, INVALID_ARGUMENT (options). */
GRAFT_API graft_status graft_model_open(const char* path, const graft_model_options* options,
                                        graft_model** model, graft_error* error);
/* The same for `size` bytes at `offset` of an open file. The descriptor stays the caller's and may
 * be closed after the call. offset need not be a multiple of the page size; if it is none of 64,
 * the bytes are read into memory instead of mapped. size 0: up to the file's end. Any thread.
 * Errors  as graft_model_open; INVALID_ARGUMENT (the range is not in the file). */
GRAFT_API graft_status graft_model_open_fd(int fd, uint64_t offset, uint64_t size,
                                           const graft_model_options* options, graft_model** model,
                                           graft_error* error);
/* The same for bytes in memory, which stay the caller's and must outlive the model and its
 * sessions. data must be aligned to 64 bytes. Any thread.
 * Errors  as graft_model_open; INVALID_ARGUMENT (alignment). */
GRAFT_API graft_status graft_model_open_memory(const void* data, size_t size,
                                               const graft_model_options* options,
                                               graft_model** model, graft_error* error);
/* Frees the model once its last session is gone. NULL is fine. If packed weights are still on their
 * way to the disk, the last to go waits for them. Any thread, once, after all other calls on the
 * handle have returned. */
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

/* What a model is. Strings belong to the model and live as long. */
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
  uint8_t has_chat_template; /* graft_chat_render works without a template of the caller's */
  uint8_t takes_images;      /* graft_classify_images or graft_embed_images works, by task */
} graft_model_info;

/* Fills in *info, the caller's. Any thread. Errors  INVALID_ARGUMENT (struct_size). */
GRAFT_API graft_status graft_model_get_info(const graft_model* model, graft_model_info* info,
                                            graft_error* error);

/* ---- Tokens ---- */

/* Ids of `text` (size bytes). Writes at most `capacity` ids and sets *count to how many there are
 * in all; if that is more than capacity the status is OUT_OF_RANGE and the first `capacity` are
 * written (here count is set on failure). add_special: put the tokens before and after a text that
 * the model expects. text and ids are the caller's. Any thread.
 * Errors  FAILED_PRECONDITION (no tokenizer), OUT_OF_RANGE (also: more than 1 GiB of text), CORRUPT
 * (the tokenizer's pattern takes too many steps on this text). */
GRAFT_API graft_status graft_tokenize(const graft_model* model, const char* text, size_t size,
                                      uint8_t add_special, int32_t* ids, size_t capacity,
                                      size_t* count, graft_error* error);
/* Text of ids, with the same rule for capacity and *size in bytes. Not terminated. skip_special:
 * leave special tokens out. ids and text are the caller's. Any thread.
 * Errors  FAILED_PRECONDITION (no tokenizer), OUT_OF_RANGE (capacity; an id out of the vocabulary).
 */
GRAFT_API graft_status graft_detokenize(const graft_model* model, const int32_t* ids, size_t count,
                                        uint8_t skip_special, char* text, size_t capacity,
                                        size_t* size, graft_error* error);

/* How graft_tokenize_pair makes ids. Zeros are defaults. */
typedef struct graft_tokenize_options {
  size_t struct_size;
  uint8_t without_special; /* 1: leave out the tokens before, between and after the texts */
  size_t max_tokens;       /* the texts are cut at their ends to fit into so many with what goes
                            * around them, the longer one first; default: as the model's tokenizer
                            * says, which may be not at all */
} graft_tokenize_options;
#define GRAFT_TOKENIZE_OPTIONS_INIT \
  { sizeof(graft_tokenize_options), 0, 0 }

/* Ids of one text, or of two texts as one input of an encoder, with the same rule for capacity and
 * *count. second NULL: one text. type_ids, if not NULL, receives as many numbers as ids does: what
 * each token belongs to, 0 or 1 mostly. options may be NULL. All buffers are the caller's. Any
 * thread. Errors  as graft_tokenize; INVALID_ARGUMENT (max_tokens has no room for what goes around
 * the texts). */
GRAFT_API graft_status graft_tokenize_pair(const graft_model* model, const char* first,
                                           size_t first_size, const char* second,
                                           size_t second_size,
                                           const graft_tokenize_options* options, int32_t* ids,
                                           int32_t* type_ids, size_t capacity, size_t* count,
                                           graft_error* error);

/* ---- Chat ---- */

/* One turn of a talk. Terminated; the caller's. */
typedef struct graft_chat_message {
  const char* role; /* "system", "user", "assistant" */
  const char* content;
} graft_chat_message;

/* Something a template may ask for by name. "true" and "false" are truth values, else it is a text.
 * Terminated; the caller's. */
typedef struct graft_chat_variable {
  const char* name; /* such as "enable_thinking" */
  const char* value;
} graft_chat_variable;

/* How graft_chat_render writes. Zeros are defaults; what it points to is read during the call. */
typedef struct graft_chat_options {
  size_t struct_size;
  uint8_t without_generation_prompt; /* 1: do not end with what an answer begins with */
  const char* template_text;         /* a Jinja template in place of the file's; NULL: the file's */
  const graft_chat_variable* variables; /* variable_count of them */
  size_t variable_count;
  int64_t now_seconds; /* what the template takes the time to be, since 1970; default: the clock */
} graft_chat_options;
#define GRAFT_CHAT_OPTIONS_INIT \
  { sizeof(graft_chat_options), 0, NULL, NULL, 0, 0 }

/* The text the model was trained to see for `messages`, by its own chat template, as transformers'
 * apply_chat_template gives it; not terminated, with the same rule for capacity and *size in bytes.
 * It holds the special tokens it needs: tokenize it with add_special 0. The template is a program
 * from the model's file: what it may compute is bounded. options may be NULL. Any thread.
 * Errors  FAILED_PRECONDITION (no chat template), INVALID_ARGUMENT (the template refuses the
 * messages, text that is no UTF-8), CORRUPT and UNSUPPORTED (a template that cannot be run),
 * OUT_OF_RANGE (one that takes too many steps, too much memory or output; or capacity, then *size
 * is set). */
GRAFT_API graft_status graft_chat_render(const graft_model* model,
                                         const graft_chat_message* messages, size_t message_count,
                                         const graft_chat_options* options, char* text,
                                         size_t capacity, size_t* size, graft_error* error);

/* ---- Sessions ---- */

#define GRAFT_KV_AUTO 0 /* f32 when every weight is f32, else f16 */
#define GRAFT_KV_F32 1
#define GRAFT_KV_F16 2
#define GRAFT_KV_I8 3 /* int8 codes, and a scale for each position's key and value of each head */

/* How a session is made. Zeros are defaults. */
typedef struct graft_session_options {
  size_t struct_size;
  uint32_t threads;            /* default: as the model's */
  uint32_t context_tokens;     /* positions to make room for; default: the model's, at most 4096 */
  uint32_t prefill_chunk;      /* tokens of a prompt computed at a time; default 128 */
  int32_t kv_format;           /* GRAFT_KV_... */
  uint64_t memory_limit_bytes; /* of the packed weights, keys and values, token ids, activations and
                                * outputs together. What a prefill_chunk of a model of text takes is
                                * known and refused when the session is made; what other inputs
                                * take, by the call that brings them. Default: the model's limit */
  const char* cpus; /* such as "4-7" or "0,2-3": the session's threads, and the caller's while it is
                     * inside the session, run on these CPUs only; read during the call. threads is
                     * then one for each by default. INVALID_ARGUMENT if one does not exist or may
                     * not be used. NULL or "": wherever the system puts them */
} graft_session_options;
#define GRAFT_SESSION_OPTIONS_INIT \
  { sizeof(graft_session_options), 0, 0, 0, 0, 0, NULL }

/* A session on `model`, the caller's to destroy. options may be NULL. Any thread.
 * Errors  OUT_OF_MEMORY (beyond memory_limit_bytes, or keys and values that the machine has no
 * memory for; the message says what is needed and which context fits, and nothing was allocated),
 * INVALID_ARGUMENT (a context beyond what the model was trained for is allowed). */
GRAFT_API graft_status graft_session_create(graft_model* model,
                                            const graft_session_options* options,
                                            graft_session** session, graft_error* error);
/* Frees the session and ends its threads before it returns. NULL is fine. The session's thread,
 * once; not from inside a token callback, and not beside a graft_session_cancel. */
GRAFT_API void graft_session_destroy(graft_session* session);
/* Asks whatever runs in the session to stop; it returns CANCELLED once each of its threads has
 * finished the part of an op that it is at. Any thread, also a signal handler. Without effect if
 * nothing runs. NULL is fine. */
GRAFT_API void graft_session_cancel(graft_session* session);
/* Forgets all tokens. The session's thread. No errors of its own. */
GRAFT_API graft_status graft_session_reset(graft_session* session, graft_error* error);
/* Forgets tokens from position `tokens` on. The session's thread.
 * Errors  OUT_OF_RANGE: there are fewer. */
GRAFT_API graft_status graft_session_rewind(graft_session* session, size_t tokens,
                                            graft_error* error);
/* Rewinds to the longest beginning of `ids` that the session holds, but less than all of them, so
 * that appending the rest gives logits. *kept (may be NULL) receives its length. ids are the
 * caller's. The session's thread. No errors of its own. */
GRAFT_API graft_status graft_session_keep_prefix(graft_session* session, const int32_t* ids,
                                                 size_t count, size_t* kept, graft_error* error);
/* Writes the tokens held, and what was computed from them, to a file, in place of an older one only
 * once it is whole. It tells what the tokens are: it is made readable for this user alone. The
 * session's thread. Errors  NOT_FOUND (no such folder), IO, UNSUPPORTED (no model of text). */
GRAFT_API graft_status graft_session_save(const graft_session* session, const char* path,
                                          graft_error* error);
/* Takes the tokens of a saved session in place of those held. They must have been saved with the
 * same model, to the bit, and the same kv_format; threads and prefill_chunk may differ. A refused
 * file changes nothing; after CORRUPT or IO in its contents the session holds no tokens. The
 * session's thread. Errors  NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION, MISMATCH (another model or
 * kv_format), OUT_OF_RANGE (more tokens than the context holds), UNSUPPORTED (no model of text). */
GRAFT_API graft_status graft_session_restore(graft_session* session, const char* path,
                                             graft_error* error);
/* Tokens held; 0 for NULL. The session's thread. */
GRAFT_API size_t graft_session_position(const graft_session* session);

/* What a session is made of. */
typedef struct graft_session_info {
  size_t struct_size; /* set by the caller */
  uint32_t threads;
  uint32_t context_tokens;
  uint64_t weight_bytes;          /* packed weights that computing one token reads */
  uint64_t cache_bytes_per_token; /* keys and values of one position */
  int32_t kv_format;              /* GRAFT_KV_..., what AUTO became */
} graft_session_info;

/* Fills in *info, the caller's. The session's thread. Errors  INVALID_ARGUMENT (struct_size). */
GRAFT_API graft_status graft_session_get_info(const graft_session* session,
                                              graft_session_info* info, graft_error* error);

/* Measures by kind of step (linears, attention, ...) what the following calls compute: on 1 starts
 * from zero, on 0 stops. While it is off it costs nothing. The session's thread. No errors of its
 * own. */
GRAFT_API graft_status graft_session_measure(graft_session* session, uint8_t on,
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
/* Fills in *time, the caller's, with the index-th kind of step that ran while measured, longest
 * first. The session's thread. Errors  OUT_OF_RANGE (there are no more), INVALID_ARGUMENT
 * (struct_size). */
GRAFT_API graft_status graft_session_step_time(const graft_session* session, size_t index,
                                               graft_step_time* time, graft_error* error);

#define GRAFT_TYPE_F32 0
#define GRAFT_TYPE_I32 1
#define GRAFT_MAX_RANK 8

/* A named dense row-major tensor. data is the caller's for inputs, the session's for outputs. */
typedef struct graft_tensor {
  const char* name;
  int32_t type; /* GRAFT_TYPE_... */
  uint32_t rank;
  int64_t shape[GRAFT_MAX_RANK];
  const void* data;
} graft_tensor;

/* The index-th input that graph computations take, from 0: its name, type and shape, where -1
 * stands for any size; data is NULL. The first is needed; the others of a model of texts may be
 * left out. The name belongs to the model. Any thread. Errors  OUT_OF_RANGE: there are no more. */
GRAFT_API graft_status graft_model_get_input(const graft_model* model, size_t index,
                                             graft_tensor* input, graft_error* error);

/* Computes the model's graph on named inputs, all rows out. For a model that generates text the
 * only input is token ids [tokens], computed from position 0 (the session is reset first) with
 * outputs for every position. An encoder of texts takes token ids [texts, tokens] (or [tokens] of
 * one text), and of the same shape, if given, attention_mask, whose zeros are padding on either
 * side, and token types. Each text gives what it gives alone; padding is not computed, and where
 * outputs have a row for each token its rows are zeros ([tokens] with a mask: they are left out).
 * A model whose sizes are all fixed, as of images, may be given several items at once, in one more
 * dimension in front, which its outputs then have too. *outputs (count *output_count) belongs to
 * the session and lives until its next call; inputs are the caller's and read during the call. The
 * session's thread. Errors  INVALID_ARGUMENT (missing or unknown input, wrong type or shape),
 * OUT_OF_RANGE (context, id), CANCELLED, OUT_OF_MEMORY (activations and outputs beyond the
 * session's limit, or the machine's memory). */
GRAFT_API graft_status graft_session_forward(graft_session* session, const graft_tensor* inputs,
                                             size_t input_count, const graft_tensor** outputs,
                                             size_t* output_count, graft_error* error);

/* ---- Memory ---- */

/* What a model, and one session with a full context, will take. Resident bytes are those that
 * graft adds to the process, its code included, to within some percent. File bytes that are mapped
 * can be dropped by the system and read again; private ones cannot. */
typedef struct graft_memory_estimate {
  size_t struct_size;      /* set by the caller */
  uint32_t context_tokens; /* what the options and defaults came to, here ... */
  uint32_t threads;        /* ... here ... */
  int32_t kv_format;       /* ... and here: GRAFT_KV_F32, F16 or I8 */
  uint64_t file_bytes;
  uint64_t packed_bytes;     /* of all packed weights */
  uint64_t kv_bytes;         /* keys and values of the whole context */
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
 * header and this CPU: nothing is packed, and no weight is read. memory_limit_bytes is left aside.
 * *estimate is the caller's. Any thread.
 * Errors  those of graft_model_open; INVALID_ARGUMENT as graft_session_create; OUT_OF_MEMORY (a
 * size that no address space holds). */
GRAFT_API graft_status graft_estimate(const char* path, const graft_session_options* options,
                                      graft_memory_estimate* estimate, graft_error* error);
/* The same for `size` bytes at `offset` of an open file, as graft_model_open_fd takes them. The
 * descriptor stays the caller's. Any thread. Errors  as graft_estimate and graft_model_open_fd. */
GRAFT_API graft_status graft_estimate_fd(int fd, uint64_t offset, uint64_t size,
                                         const graft_session_options* options,
                                         graft_memory_estimate* estimate, graft_error* error);

/* Gives back what a model can read again from its file and its cache, and what its tokenizer
 * remembers. The next call reads it; results stay the same. Weights packed into memory stay. Any
 * thread, also while sessions compute. No errors of its own. */
GRAFT_API graft_status graft_model_trim(const graft_model* model, graft_error* error);
/* Gives back what a session can make anew: activations, outputs, room for tokens that are not held.
 * Tokens stay, and so does what the next call gives; logits and outputs of the last call are gone.
 * The session's thread. No errors of its own. */
GRAFT_API graft_status graft_session_trim(graft_session* session, graft_error* error);

/* ---- Embeddings and labels of texts ---- */

/* A text, or two that belong together: pair NULL: none. Sizes in bytes; nothing need be terminated.
 */
typedef struct graft_text {
  const char* text;
  size_t size;
  const char* pair;
  size_t pair_size;
} graft_text;

/* A vector of *width floats for each of `count` texts, one after the other in *embeddings, which
 * belongs to the session and lives until its next call. Each text gives what it gives alone. Texts
 * are cut to the length that the model's tokenizer says. What the session held is forgotten. texts
 * are the caller's. The session's thread. Errors  UNSUPPORTED (the model makes no embeddings),
 * FAILED_PRECONDITION (no tokenizer), INVALID_ARGUMENT (no texts), OUT_OF_RANGE (a text longer than
 * the model has positions for), CANCELLED, OUT_OF_MEMORY. */
GRAFT_API graft_status graft_embed(graft_session* session, const graft_text* texts, size_t count,
                                   const float** embeddings, size_t* width, graft_error* error);
/* *labels scores for each text, likewise: probabilities that add up to 1 where one label holds,
 * each for itself where several may, and plain numbers of a regression. The session's thread.
 * Errors  as graft_embed. */
GRAFT_API graft_status graft_classify(graft_session* session, const graft_text* texts, size_t count,
                                      const float** scores, size_t* labels, graft_error* error);
/* Of a model that labels tokens: *labels scores, as graft_classify gives them, for each of *tokens
 * tokens of one text, and *ids, the tokens themselves, special ones among them. All belong to the
 * session and live until its next call. The session's thread. Errors  as graft_embed. */
GRAFT_API graft_status graft_classify_tokens(graft_session* session, const graft_text* text,
                                             const int32_t** ids, const float** scores,
                                             size_t* tokens, size_t* labels, graft_error* error);
/* The name of score `index`; it belongs to the model. Any thread. Errors  OUT_OF_RANGE: there is no
 * such label, or scores have no names. */
GRAFT_API graft_status graft_model_get_label(const graft_model* model, size_t index,
                                             const char** label, graft_error* error);

/* ---- Images ---- */

#define GRAFT_IMAGE_RGB8 0
#define GRAFT_IMAGE_RGBA8 1 /* alpha is left out, not blended */
#define GRAFT_IMAGE_GRAY8 2

/* Pixels of the caller's, a byte for each channel, the top row first. 1 to 16384 pixels a side. */
typedef struct graft_image {
  const uint8_t* pixels;
  uint32_t width;
  uint32_t height;
  size_t row_stride_bytes; /* from one row to the next; 0: they lie side by side */
  int32_t format;          /* GRAFT_IMAGE_... */
} graft_image;

/* What the model takes for `image`: resized, cut and normalized as the model's file says, as
 * transformers does it with Pillow (pixels equal to the bit, floats to rounding), in the shape that
 * graft_model_get_input gives, [channels, height, width]. Writes nothing, and sets *count all the
 * same, if `capacity` floats are too few. Any thread.
 * Errors  UNSUPPORTED (the model takes no images, or its file does not say how), INVALID_ARGUMENT
 * (size, stride or format of the image), OUT_OF_RANGE (capacity), OUT_OF_MEMORY. */
GRAFT_API graft_status graft_prepare_image(const graft_model* model, const graft_image* image,
                                           float* prepared, size_t capacity, size_t* count,
                                           graft_error* error);
/* As graft_embed, of images of any sizes, which are prepared likewise and computed one after the
 * other. The session's thread. Errors  UNSUPPORTED (the task, or no model of images), CANCELLED,
 * and those of graft_prepare_image; the message says which image. */
GRAFT_API graft_status graft_embed_images(graft_session* session, const graft_image* images,
                                          size_t count, const float** embeddings, size_t* width,
                                          graft_error* error);
/* As graft_classify, likewise. The session's thread. Errors  as graft_embed_images. */
GRAFT_API graft_status graft_classify_images(graft_session* session, const graft_image* images,
                                             size_t count, const float** scores, size_t* labels,
                                             graft_error* error);

/* Appends `count` tokens to what the session holds, in chunks. *logits, if not NULL, receives
 * `vocabulary` floats for the last token; they are the session's and live until its next call. ids
 * are the caller's. After a failure nothing was appended. The session's thread. Errors OUT_OF_RANGE
 * (context full, id out of the vocabulary), UNSUPPORTED (no model of text), CANCELLED,
 * OUT_OF_MEMORY. */
GRAFT_API graft_status graft_session_append(graft_session* session, const int32_t* ids,
                                            size_t count, const float** logits, graft_error* error);

/* How the next token is chosen: the filters apply in the order repeat_penalty, temperature, top_k,
 * top_p, min_p. What it points to is read during the call. */
typedef struct graft_generate_options {
  size_t struct_size;
  uint32_t max_tokens;    /* default 256; never beyond the context */
  float temperature;      /* 0: the likeliest token */
  uint32_t top_k;         /* 0: off */
  float top_p;            /* 0 or 1: off */
  float min_p;            /* 0: off */
  float repeat_penalty;   /* 0 or 1: off; > 1 makes tokens seen lately less likely */
  uint32_t repeat_window; /* how many tokens back; default 64 */
  uint64_t seed;
  const char* const* stop; /* stop_count strings: generation ends before the first that appears */
  size_t stop_count;
  uint8_t ignore_end;   /* 1: go on after the model's end-of-text tokens */
  uint8_t whole_prompt; /* 1: the prompt is the whole text, not what comes after the tokens held: as
                         * graft_session_keep_prefix first, so that only what is new is computed */
} graft_generate_options;
#define GRAFT_GENERATE_OPTIONS_INIT \
  { sizeof(graft_generate_options), 0, 0.0f, 0, 0.0f, 0.0f, 0.0f, 0, 0, NULL, 0, 0, 0 }

#define GRAFT_STOP_END_TOKEN 0
#define GRAFT_STOP_STRING 1
#define GRAFT_STOP_MAX_TOKENS 2
#define GRAFT_STOP_CONTEXT 3
#define GRAFT_STOP_CALLBACK 4

/* How a generation went. */
typedef struct graft_generate_result {
  size_t struct_size; /* set by the caller */
  size_t prompt_tokens;
  size_t generated_tokens;
  uint64_t prefill_ns;
  uint64_t decode_ns;
  int32_t stop_reason;  /* GRAFT_STOP_... */
  size_t reused_tokens; /* of the prompt, that were held already; prefill_ns is the others' */
} graft_generate_result;

/* Called on the generating thread for each token: its id and the text that became certain, always
 * whole UTF-8 characters and possibly empty (size 0). After the last token it is called once with
 * id -1 if text is left. text is graft's, not terminated, and lives until the callback returns. Of
 * the session's functions it may call graft_session_cancel only. Return 0 to go on, 1 to stop. It
 * must return: neither an exception nor longjmp may leave it. */
typedef int32_t (*graft_token_callback)(void* user, int32_t id, const char* text, size_t size);

/* Appends the prompt (ids) to what the session holds and generates. callback and result may be
 * NULL. An end token is neither handed out nor counted. The last token handed out is not yet held
 * by the session: to go on from it, make it the first of the next prompt. prompt, options and
 * *result are the caller's. The session's thread. Errors  as graft_session_append;
 * INVALID_ARGUMENT (no prompt, a sampling option out of its range, stop strings without a tokenizer
 * or that are no UTF-8). */
GRAFT_API graft_status graft_session_generate(graft_session* session, const int32_t* prompt,
                                              size_t prompt_count,
                                              const graft_generate_options* options,
                                              graft_token_callback callback, void* user,
                                              graft_generate_result* result, graft_error* error);

/* ---- The machine ---- */

/* The CPU, as graft sees it. */
typedef struct graft_cpu_info {
  size_t struct_size;       /* set by the caller */
  uint32_t cpus;            /* that are on and that this process may use; 0: unknown */
  uint32_t quota_cpus;      /* cores' worth of time that control groups allow; 0: no limit */
  uint32_t default_threads; /* what a model gets that asks for no number: all big cores, within the
                             * quota */
  uint32_t group_count;     /* kinds of cores: see graft_cpu_get_group */
  char features[256];       /* that kernels are chosen by, such as "neon fp16 dotprod i8mm" */
  char vectors[32];         /* instructions of graft's own kernels, such as "NEON" */
} graft_cpu_info;
/* What is true now: cores come and go. Any thread.
 * Errors  UNSUPPORTED (no kernels for this CPU), INVALID_ARGUMENT. */
GRAFT_API graft_status graft_cpu_get_info(graft_cpu_info* info, graft_error* error);

/* Cores of one kind. */
typedef struct graft_cpu_group {
  size_t struct_size; /* set by the caller */
  char name[64];      /* such as "Cortex-A76"; "" if the system does not tell */
  char cpus[256];     /* such as "4-7", as graft_session_options.cpus takes it */
  uint32_t capacity;  /* the kernel's measure of power, 1024 for the strongest core; 0: unknown */
  uint32_t max_mhz;   /* 0: unknown */
  uint8_t is_big;     /* strong enough to share work with the strongest */
} graft_cpu_group;
/* Groups 0 and on, the strongest first. Any thread. Errors  OUT_OF_RANGE: after the last. */
GRAFT_API graft_status graft_cpu_get_group(size_t index, graft_cpu_group* group,
                                           graft_error* error);

/* The matrix kernel that was chosen on this CPU for one format of weights. */
typedef struct graft_kernel_info {
  size_t struct_size;    /* set by the caller */
  const char* weights;   /* "f32", "int8", "int4-block", "int4-channel". Static storage */
  uint32_t tile_rows;    /* output features computed side by side */
  uint32_t tile_columns; /* inputs that one instruction multiplies and adds: on ARM 8 with i8mm, 4
                          * with dotprod */
} graft_kernel_info;
/* Kernels 0 and on; OUT_OF_RANGE after the last. Packs small matrices to see, in milliseconds. Any
 * thread.  Errors  UNSUPPORTED (no kernel for this format here), OUT_OF_MEMORY. */
GRAFT_API graft_status graft_kernel_get_info(size_t index, graft_kernel_info* info,
                                             graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_GRAFT_H_ */
