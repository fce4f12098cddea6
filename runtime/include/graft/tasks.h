/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: embeddings and labels of texts and images. */
#ifndef GRAFT_TASKS_H_
#define GRAFT_TASKS_H_

#include <graft/model.h>
#include <graft/session.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text, or two that belong together; pair NULL: one. Sizes in bytes; nothing need be terminated.
 * Never grows. */
typedef struct graft_text {
  const char* text;
  size_t size;
  const char* pair;
  size_t pair_size;
} graft_text;

/* Gives a vector of *width floats for each of `count` texts, one after the other in *embeddings,
 * which belongs to the session and lives until its next call. Each text gives what it gives alone.
 * A default prompt that the model's file holds goes before each text. Texts are cut to the length
 * that the model's tokenizer says. What the session held is forgotten. texts are the caller's.
 * Thread   The session's.
 * Errors   UNSUPPORTED: the model makes no embeddings.
 *          FAILED_PRECONDITION: no tokenizer.
 *          INVALID_ARGUMENT: no texts.
 *          OUT_OF_RANGE: a text longer than the model has positions for.
 *          CORRUPT: as graft_model_tokenize.
 *          CANCELLED, OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_embed(graft_session* session,
                                                            const graft_text* texts, size_t count,
                                                            const float** embeddings, size_t* width,
                                                            graft_error* error);
/* Gives *labels scores for each text, in the same way. They are probabilities that add up to 1
 * where one label holds, each for itself where several may, and plain numbers of a regression.
 * Thread   The session's.
 * Errors   As graft_session_embed.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_classify(graft_session* session,
                                                               const graft_text* texts,
                                                               size_t count, const float** scores,
                                                               size_t* labels, graft_error* error);
/* Gives *labels scores, as graft_session_classify does, for each of the *tokens tokens of one text.
 * *ids are the tokens themselves, special ones among them. All belong to the session and live until
 * its next call.
 * Thread   The session's.
 * Errors   As graft_session_embed.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_classify_tokens(
    graft_session* session, const graft_text* text, const int32_t** ids, const float** scores,
    size_t* tokens, size_t* labels, graft_error* error);
/* Gives the name of score `index`. It belongs to the model.
 * Thread   Any.
 * Errors   OUT_OF_RANGE: there is no such label, or scores have no names.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_get_label(const graft_model* model,
                                                              size_t index, const char** label,
                                                              graft_error* error);

#define GRAFT_IMAGE_RGB8 0
#define GRAFT_IMAGE_RGBA8 1 /* alpha is left out, not blended */
#define GRAFT_IMAGE_GRAY8 2

/* Pixels of the caller's, a byte for each channel, the top row first. 1 to 16384 pixels a side.
 * Never grows. */
typedef struct graft_image {
  const uint8_t* pixels;
  uint32_t width;
  uint32_t height;
  size_t row_stride_bytes; /* from one row to the next; 0: they lie side by side */
  int32_t format;          /* GRAFT_IMAGE_... */
} graft_image;

/* Gives what the model takes for `image`: resized, cut and normalized as the model's file says, as
 * transformers does it with Pillow (pixels equal bit for bit, floats up to rounding). Its shape is
 * that which graft_model_get_input gives, [channels, height, width]. Follows the rule of capacity,
 * with *count in floats, but writes nothing if the capacity is too small.
 * Thread   Any.
 * Errors   UNSUPPORTED: the model takes no images, or its file does not say how.
 *          INVALID_ARGUMENT: size, stride or format of the image.
 *          OUT_OF_RANGE: capacity.
 *          OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_prepare_image(const graft_model* model,
                                                                  const graft_image* image,
                                                                  float* prepared, size_t capacity,
                                                                  size_t* count,
                                                                  graft_error* error);
/* As graft_session_embed, of images of any sizes. They are prepared as graft_model_prepare_image
 * does it, and computed one after the other.
 * Thread   The session's.
 * Errors   As graft_model_prepare_image; the message says which image.
 *          UNSUPPORTED: the model makes no embeddings of images.
 *          CANCELLED.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status
graft_session_embed_images(graft_session* session, const graft_image* images, size_t count,
                           const float** embeddings, size_t* width, graft_error* error);
/* As graft_session_classify, of images in the same way.
 * Thread   The session's.
 * Errors   As graft_session_embed_images.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status
graft_session_classify_images(graft_session* session, const graft_image* images, size_t count,
                              const float** scores, size_t* labels, graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_TASKS_H_ */
