/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: turns text into tokens and back. */
#ifndef GRAFT_TOKENS_H_
#define GRAFT_TOKENS_H_

#include <graft/model.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gives the ids of `text` (size bytes), by the rule of capacity: writes at most `capacity` ids, and
 * sets *count to how many there are in all, also with OUT_OF_RANGE because they are more.
 * add_special 1: put the tokens before and after a text that the model expects. text and ids are
 * the caller's.
 * Thread   Any.
 * Errors   FAILED_PRECONDITION: no tokenizer.
 *          OUT_OF_RANGE: capacity; more than 1 GiB of text.
 *          CORRUPT: the tokenizer takes too many steps on this text, or makes far more of it than it
 *          is. It takes half a second and 2 us for each byte to find out.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_tokenize(const graft_model* model,
                                                             const char* text, size_t size,
                                                             uint8_t add_special, int32_t* ids,
                                                             size_t capacity, size_t* count,
                                                             graft_error* error);
/* Gives the text of ids, by the rule of capacity, with *size in bytes. It is not terminated.
 * skip_special 1: leave special tokens out. ids and text are the caller's.
 * Thread   Any.
 * Errors   FAILED_PRECONDITION: no tokenizer.
 *          OUT_OF_RANGE: capacity; an id that is not in the vocabulary.
 *          CORRUPT: the tokenizer makes far more of the ids than they are.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_detokenize(const graft_model* model,
                                                               const int32_t* ids, size_t count,
                                                               uint8_t skip_special, char* text,
                                                               size_t capacity, size_t* size,
                                                               graft_error* error);

/* How graft_model_tokenize_pair makes ids. Zeros are defaults. */
typedef struct graft_tokenize_options {
  size_t struct_size;
  uint8_t without_special; /* 1: leave out the tokens before, between and after the texts */
  /* The texts are cut at their ends, the longer one first, to fit into so many tokens with what
   * goes around them. Default: as the model's tokenizer says, which may be not at all. */
  size_t max_tokens;
} graft_tokenize_options;
#define GRAFT_TOKENIZE_OPTIONS_INIT \
  { sizeof(graft_tokenize_options), 0, 0 }

/* Gives the ids of one text, or of two texts as one input of an encoder, by the rule of capacity.
 * second NULL: one text. type_ids, if not NULL, receives as many numbers as ids does: which text
 * each token belongs to, 0 or 1 mostly. `options` may be NULL. All buffers are the caller's.
 * Thread   Any.
 * Errors   As graft_model_tokenize.
 *          INVALID_ARGUMENT: max_tokens has no room for what goes around the texts.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_tokenize_pair(
    const graft_model* model, const char* first, size_t first_size, const char* second,
    size_t second_size, const graft_tokenize_options* options, int32_t* ids, int32_t* type_ids,
    size_t capacity, size_t* count, graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_TOKENS_H_ */
