/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: pictures in the texts of models that see. */
#ifndef GRAFT_PICTURES_H_
#define GRAFT_PICTURES_H_

#include <graft/model.h>
#include <graft/session.h>
#include <graft/status.h>
#include <graft/tasks.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes `text` (size bytes) with what stands for each picture in the place that the text has for
 * it, as the model's processor in transformers does: graft_model_render_chat leaves such places. A
 * text without any gets the pictures before it. Of images only the sides are looked at. Follows the
 * rule of capacity, with *placed_size in bytes, and is not terminated. Tokenize it as the text.
 * Thread   Any.
 * Errors   UNSUPPORTED: the model takes no pictures.
 *          INVALID_ARGUMENT: other places than images; sides of 0 or more than 16384.
 *          OUT_OF_RANGE: capacity; more than 64 pictures; a text of more than 64 MiB.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_place_pictures(
    const graft_model* model, const char* text, size_t size, const graft_image* images,
    size_t count, char* placed, size_t capacity, size_t* placed_size, graft_error* error);

/* Says which pictures the session's text is about, in the order of the text, and computes what the
 * model sees of them. Pictures that were set before in the same places are known by their pixels and
 * are not computed again; what the session holds is forgotten from the first token on that stands
 * for another picture now. Set all pictures of a conversation before each graft_session_generate;
 * with whole_prompt its prompt must have as many tokens for pictures as they take. Tokens for
 * pictures that none is set for are tokens like others. A saved session knows its pictures, but
 * holds only what was computed of their tokens: to go back before these, set them again. images are
 * the caller's and read during the call. count 0: there are none.
 * Thread   The session's.
 * Errors   UNSUPPORTED: the model takes no pictures.
 *          INVALID_ARGUMENT: size, stride or format of an image.
 *          OUT_OF_RANGE: more than 64, or more tokens than the session's context.
 *          CANCELLED, OUT_OF_MEMORY: pictures before the one that failed are set.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_set_pictures(graft_session* session,
                                                                   const graft_image* images,
                                                                   size_t count,
                                                                   graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_PICTURES_H_ */
