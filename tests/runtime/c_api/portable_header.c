/* SPDX-License-Identifier: Apache-2.0
 * Compiles graft.h as C99, warnings being errors, and calls it. */
#include <graft/graft.h>

int graft_test_call_from_c(void);

int graft_test_call_from_c(void) {
  graft_model_options model_options = GRAFT_MODEL_OPTIONS_INIT;
  graft_session_options session_options = GRAFT_SESSION_OPTIONS_INIT;
  graft_generate_options generate_options = GRAFT_GENERATE_OPTIONS_INIT;
  graft_error error;
  graft_model* model = NULL;
  const graft_status status =
      graft_model_open("/no/such/model.graft", &model_options, &model, &error);
  graft_model_destroy(model);
  graft_session_destroy(NULL);
  return status == GRAFT_NOT_FOUND && error.code == GRAFT_NOT_FOUND && error.message[0] != '\0' &&
         session_options.struct_size == sizeof(session_options) &&
         generate_options.struct_size == sizeof(generate_options);
}
