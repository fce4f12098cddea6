/* SPDX-License-Identifier: Apache-2.0
 * graft: runs a .graft model file. C99. Include this header and no other; the others are its parts,
 * in the order of use.
 *
 * Calls     Functions return GRAFT_OK (0) or a graft_status code. A graft_error of the caller's may
 *           be given; it receives the code and a sentence.
 * Names     A function of a model begins with graft_model_, a function of a session with
 *           graft_session_, a function of a reply with graft_reply_.
 * Strings   UTF-8.
 * Results   Out-parameters are untouched on failure. One rule of capacity makes the exception: a
 *           function with a `capacity` sets the count to what is needed in all, and if that is more
 *           than the capacity it writes what fits and returns OUT_OF_RANGE.
 * Errors    Every function returns INVALID_ARGUMENT for a NULL that is not allowed, and names it.
 *           Those that allocate return OUT_OF_MEMORY, whichever allocation fails; model and session
 *           are then as they were, and the call can be made again. "Errors" lists the others.
 * Thread    "Any": with no rule, also beside other calls on the same model. "The session's": one
 *           call at a time in a session, from whichever thread; graft_session_cancel alone may come
 *           meanwhile. No function keeps a thread after the last session and model are destroyed.
 * Lifetime  A session keeps its model alive. They may be destroyed in either order.
 * Structs   Those with struct_size grow at their ends. The caller sets it to sizeof as it was
 *           compiled. In options that are shorter than this library knows, what is missing has its
 *           default. In longer ones, what the library does not know must be zero, else the status
 *           is INVALID_ARGUMENT. Of results, no more than struct_size bytes are written, and what
 *           the library does not know is set to zero. Those without struct_size never grow.
 */
#ifndef GRAFT_GRAFT_H_
#define GRAFT_GRAFT_H_

/* The version, and how a call went. */
#include <graft/status.h>
/* Opens a model, and tells what it is. */
#include <graft/model.h>
/* A conversation with a model. */
#include <graft/session.h>
/* Appends and generates tokens. */
#include <graft/generate.h>
/* Text into tokens and back. */
#include <graft/tokens.h>
/* Messages into text. */
#include <graft/chat.h>
/* A reply into text, thinking and calls of functions. */
#include <graft/reply.h>
/* Embeddings and labels of texts and images. */
#include <graft/tasks.h>
/* A model's graph on named tensors. */
#include <graft/tensors.h>
/* What an encoder-decoder answers to. */
#include <graft/source.h>
/* Pictures in texts. */
#include <graft/pictures.h>
/* Whether it computes what was converted. */
#include <graft/self_test.h>
/* What memory it takes, and giving it back. */
#include <graft/memory.h>
/* The CPU. */
#include <graft/machine.h>

#endif /* GRAFT_GRAFT_H_ */
