// SPDX-License-Identifier: Apache-2.0
package dev.graft;

/**
 * Whose turn it is in a native session: one call at a time, which others wait for, and which is
 * cancelled and ended by whoever asks. Owns the native session, and frees it after the last call.
 */
final class SessionTurns {
  /** Cancelling is asked for again this often, for a call that had not reached native code. */
  private static final long CANCEL_AGAIN_MILLIS = 5;

  private final Model model; // left once the session is freed
  private final Object lock = new Object();
  private long handle; // 0: freed
  private Thread owner; // of the call that runs
  private TokenSink sink; // of the generation that runs
  private boolean closed;
  private boolean trimWanted; // once the call that runs has ended
  private volatile boolean cancelled; // the call that runs

  SessionTurns(Model model, long handle) {
    this.model = model;
    this.handle = handle;
  }

  /** Waits for a turn. Returns the native session, for calls until {@link #leave}. */
  long enter() {
    return enter(null);
  }

  /** The same for a generation, which {@code newSink} receives. */
  long enter(TokenSink newSink) {
    boolean isEntered = false;
    model.swaps().beginCall();
    try {
      long session = waitForTurn(newSink);
      isEntered = true;
      return session;
    } finally {
      if (!isEntered) model.swaps().endCall();
    }
  }

  private long waitForTurn(TokenSink newSink) {
    Thread current = Thread.currentThread();
    boolean interrupted = false;
    synchronized (lock) {
      if (owner == current) {
        throw new IllegalStateException(
            "the session is generating: its listener may call cancel() and close() only");
      }
      while (owner != null && !closed) {
        try {
          lock.wait();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) current.interrupt();
      if (closed) throw new IllegalStateException("the session is closed");
      owner = current;
      sink = newSink;
      cancelled = false;
      return handle;
    }
  }

  /** Ends the turn, and does what was put off until then. */
  void leave() {
    synchronized (lock) {
      owner = null;
      sink = null;
      if (closed) {
        free();
      } else if (trimWanted) {
        Native.trimSession(handle);
      }
      trimWanted = false;
      lock.notifyAll();
    }
    model.swaps().endCall();
  }

  /** Whether the call that runs was cancelled. Native code forgets what came before it began. */
  boolean isCancelled() {
    return cancelled;
  }

  /** {@link Session#trim}. */
  void trim() {
    synchronized (lock) {
      if (closed) return;
      if (owner != null) {
        trimWanted = true;
      } else {
        Native.trimSession(handle);
      }
    }
  }

  /** {@link Session#cancel()}. */
  void cancel() {
    synchronized (lock) {
      if (owner != null) cancelNow();
    }
  }

  /** {@link Session#cancel(TokenListener)}. */
  void cancel(TokenListener listener) {
    synchronized (lock) {
      if (owner != null && sink != null && sink.isFor(listener)) cancelNow();
    }
  }

  boolean isClosed() {
    synchronized (lock) {
      return closed;
    }
  }

  /** {@link Session#close}. */
  void close() {
    boolean interrupted = false;
    synchronized (lock) {
      closed = true;
      if (owner == null) {
        free();
        return;
      }
      lock.notifyAll();
      cancelNow();
      while (handle != 0 && owner != Thread.currentThread()) {
        try {
          lock.wait(CANCEL_AGAIN_MILLIS);
        } catch (InterruptedException e) {
          interrupted = true; // memory in use cannot be freed: go on, and tell the caller after
        }
        if (handle != 0) Native.cancel(handle);
      }
    }
    if (interrupted) Thread.currentThread().interrupt();
  }

  private void cancelNow() {
    cancelled = true;
    Native.cancel(handle);
  }

  private void free() {
    if (handle == 0) return;
    Native.destroySession(handle);
    handle = 0;
    model.leave();
  }
}
