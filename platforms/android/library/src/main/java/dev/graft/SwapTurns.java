// SPDX-License-Identifier: Apache-2.0
package dev.graft;

/** Calls of a model's sessions, and the swap that comes when none runs. */
final class SwapTurns {
  private int calls;
  private boolean swapping;

  /** Before a call of a session; waits while the model is swapped. */
  synchronized void beginCall() {
    boolean interrupted = false;
    while (swapping) {
      try {
        wait();
      } catch (InterruptedException e) {
        interrupted = true; // a call does not end by it: go on, and tell the caller after
      }
    }
    ++calls;
    if (interrupted) Thread.currentThread().interrupt();
  }

  synchronized void endCall() {
    --calls;
  }

  /** Refuses while a call or another swap runs. */
  synchronized void beginSwap() {
    if (calls > 0 || swapping) {
      throw new GraftException(
          GraftException.Status.FAILED_PRECONDITION,
          swapping ? "the model is being swapped" : "a session of the model computes");
    }
    swapping = true;
  }

  synchronized void endSwap() {
    swapping = false;
    notifyAll();
  }
}
