/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: what an encoder-decoder answers to. */
#ifndef GRAFT_SOURCE_H_
#define GRAFT_SOURCE_H_

#include <graft/session.h>
#include <graft/status.h>
#include <graft/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Computes what an encoder-decoder attends to: ids i32 [tokens], or features f32 of the shape that
 * graft_model_get_input gives; its name is not looked at. It is kept until another is set, and
 * saved with the session; graft_session_reset and graft_session_rewind leave it. The tokens held
 * are forgotten, unless the source is the one that is held, which is not computed again. Then
 * graft_session_generate answers. After a failure or a cancel no source is held and no tokens; a
 * source that is refused leaves everything as it was. source is the caller's and read during the
 * call.
 * Thread   The session's.
 * Errors   UNSUPPORTED: the model takes no source.
 *          INVALID_ARGUMENT: type or shape.
 *          OUT_OF_RANGE: more tokens than the session's context or the model has room for; an id.
 *          CANCELLED, OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_set_source(graft_session* session,
                                                                 const graft_tensor* source,
                                                                 graft_error* error);

/* Gives the ids of a source text (size bytes), by the rule of capacity, with what the model expects
 * around it. language: of the text, as the model names it ("en", "deu_Latn"); NULL or "": the
 * model's own, or none if it has no languages. text and ids are the caller's.
 * Thread   Any.
 * Errors   As graft_model_tokenize.
 *          UNSUPPORTED: the model takes no source text.
 *          INVALID_ARGUMENT: a language that the model does not have.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_encode_source(
    const graft_model* model, const char* text, size_t size, const char* language, int32_t* ids,
    size_t capacity, size_t* count, graft_error* error);

/* Gives the ids that an answer in `language` begins with, by the rule of capacity: what
 * graft_session_generate takes as the prompt. Without a prompt it takes those of the model's own
 * language, which is what NULL or "" gives here.
 * Thread   Any.
 * Errors   UNSUPPORTED: the model answers to no source.
 *          INVALID_ARGUMENT: a language that the model does not have.
 *          OUT_OF_RANGE: capacity.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_start_tokens(const graft_model* model,
                                                                 const char* language, int32_t* ids,
                                                                 size_t capacity, size_t* count,
                                                                 graft_error* error);

/* How speech is written down. Zeros are defaults. What the struct points to is read during the
 * call. */
typedef struct graft_transcribe_options {
  size_t struct_size;
  const char*
      language;       /* "en", ...; NULL or "": the one that is heard, if the model has languages */
  uint8_t translate;  /* 1: into English */
  uint8_t timestamps; /* 1: the model writes when each phrase is said */
  float temperature;  /* 0: the likeliest token */
  uint64_t seed;
} graft_transcribe_options;
#define GRAFT_TRANSCRIBE_OPTIONS_INIT \
  { sizeof(graft_transcribe_options), NULL, 0, 0, 0.0f, 0 }

/* How it went. */
typedef struct graft_transcribe_result {
  size_t struct_size; /* set by the caller */
  char language[16];  /* as the model names it; "" if it has none */
  size_t windows;
  size_t generated_tokens;
  uint64_t features_ns; /* computing spectrograms, the encoder and the decoder */
  uint64_t encoder_ns;
  uint64_t decoder_ns;
} graft_transcribe_result;

/* Called on the transcribing thread with text that became certain, always whole UTF-8 characters:
 * with timestamps a phrase, from begin_s to end_s seconds of the sound; else what the last token
 * made certain, with its window's times. text is graft's, is not terminated, and lives until the
 * callback returns. Of the session's functions it may call graft_session_cancel only. Return 0 to
 * go on, 1 to stop. It must return: neither an exception nor longjmp may leave it. */
typedef int32_t (*graft_transcript_callback)(void* user, double begin_s, double end_s,
                                             const char* text, size_t size);

/* Writes down what is said in `count` samples of one channel, between -1 and 1, at the sample_rate
 * that graft_model_get_info gives. Sound of any length goes through in windows, as long as the
 * model's. What the session held is forgotten; `result` may be NULL. samples, options and *result
 * are the caller's.
 * Thread   The session's.
 * Errors   UNSUPPORTED: the model takes no sound, does not translate, or writes no timestamps.
 *          FAILED_PRECONDITION: no tokenizer.
 *          INVALID_ARGUMENT: no samples, a language that the model does not have, an option out of
 *          its range.
 *          CANCELLED, OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_transcribe(
    graft_session* session, const float* samples, size_t count,
    const graft_transcribe_options* options, graft_transcript_callback callback, void* user,
    graft_transcribe_result* result, graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_SOURCE_H_ */
