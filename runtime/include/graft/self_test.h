/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: whether a model computes what was converted. */
#ifndef GRAFT_SELF_TEST_H_
#define GRAFT_SELF_TEST_H_

#include <graft/model.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRAFT_SELF_TEST_NONE 0    /* the file holds no answers of this model */
#define GRAFT_SELF_TEST_BASE 1    /* it answers as the base does */
#define GRAFT_SELF_TEST_ADAPTED 2 /* it answers as the base with its adapters does */
#define GRAFT_SELF_TEST_BROKEN 3  /* it answers as neither, or texts become other tokens */

/* What a self-test found. Logits are compared by the root mean square of their differences. */
typedef struct graft_self_test {
  size_t struct_size; /* set by the caller */
  int32_t verdict;    /* GRAFT_SELF_TEST_... */
  uint8_t passed;     /* 1: nothing is wrong: the verdict is NONE, or what the file says it is */
  uint32_t probes;    /* questions that the file holds */
  uint32_t answers;   /* of these, with an answer */
  double deviation;   /* from what the file's weights give */
  double tolerance;   /* what deviation may be, from how CPUs round */
  double adapted_deviation; /* from the model before its weights were rounded */
  double base_deviation;    /* from the base without adapters; NaN: the file has no adapters */
  double adapter_share;     /* of the adapters' change that is there: 1 all; NaN as above */
  char note[256];           /* what is wrong, or "" */
} graft_self_test;

/* Asks the model what its file says it must answer: whether texts become the tokens that they became
 * for the converter, through the chat template where there is one, and whether the logits that follow
 * are those of the file's weights. A model with a pack is asked what the pack says. *result is the
 * caller's. It takes a session for a few tokens, and the time of some tens.
 * Thread   Any.
 * Errors   OUT_OF_MEMORY: also by the model's memory_limit_bytes.
 *          INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_self_test(const graft_model* model,
                                                              graft_self_test* result,
                                                              graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_SELF_TEST_H_ */
