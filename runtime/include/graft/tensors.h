/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: computes a model's graph on named tensors. */
#ifndef GRAFT_TENSORS_H_
#define GRAFT_TENSORS_H_

#include <graft/model.h>
#include <graft/session.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRAFT_TYPE_F32 0
#define GRAFT_TYPE_I32 1
#define GRAFT_MAX_RANK 8

/* A named dense row-major tensor. data is the caller's for inputs, the session's for outputs. Never
 * grows. */
typedef struct graft_tensor {
  const char* name;
  int32_t type; /* GRAFT_TYPE_... */
  uint32_t rank;
  int64_t shape[GRAFT_MAX_RANK];
  const void* data;
} graft_tensor;

/* Gives the index-th input that graph computations take, from 0: its name, type and shape, where -1
 * stands for any size; data is NULL. The first is needed; the others of a model of texts may be
 * left out. The name belongs to the model.
 * Thread   Any.
 * Errors   OUT_OF_RANGE: there are no more.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_get_input(const graft_model* model,
                                                              size_t index, graft_tensor* input,
                                                              graft_error* error);

/* Computes the model's graph on named inputs, all rows out. *outputs (count *output_count) belongs
 * to the session and lives until its next call. inputs are the caller's and read during the call.
 *
 * A model that generates text takes token ids [tokens] only. They are computed from position 0, for
 * which the session is reset first, with outputs for every position.
 *
 * A decoder that takes pictures may have their pixels beside them, f32 [images, channels, height,
 * width]; where the model takes images of any area also as patches of all images, [patches, numbers],
 * with image_grid_thw, i32 [images, 3], which says of each image 1 and its rows and columns of patches.
 *
 * An encoder-decoder takes its source beside them, as graft_session_set_source does, which is done
 * first.
 *
 * An encoder of texts takes token ids [texts, tokens], or [tokens] of one text. Of the same shape,
 * if given, are attention_mask, whose zeros are padding on either side, and token types. Each text
 * gives what it gives alone. Padding is not computed: where outputs have a row for each token, its
 * rows are zeros ([tokens] with a mask: they are left out).
 *
 * A model whose sizes are all fixed, as of images, may be given several items at once, in one more
 * dimension in front. Its outputs then have that dimension too.
 * Thread   The session's.
 * Errors   INVALID_ARGUMENT: an input that is missing or unknown, of the wrong type or shape.
 *          OUT_OF_RANGE: context, id.
 *          CANCELLED.
 *          OUT_OF_MEMORY: activations and outputs beyond the session's limit, or the machine's
 *          memory.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status
graft_session_forward(graft_session* session, const graft_tensor* inputs, size_t input_count,
                      const graft_tensor** outputs, size_t* output_count, graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_TENSORS_H_ */
