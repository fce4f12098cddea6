// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.charset.StandardCharsets;

/**
 * A call that native code refused or could not finish, with the status code of the C interface and
 * a sentence that names the file, tensor or limit.
 *
 * <p>Unchecked: most codes say that a file or an argument is wrong, which the caller of a single
 * call can rarely mend; Kotlin has no checked exceptions; and they would keep the methods out of
 * executors and lambdas. Wrong use of the Java objects themselves is not reported by it: that is
 * {@link IllegalStateException} (closed), {@link IllegalArgumentException} or {@link
 * NullPointerException}.
 */
public final class GraftException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** What kind of failure it is. */
  public enum Status {
    INVALID_ARGUMENT(1),
    /** Beyond a limit: a context that is full, a token that the vocabulary does not have. */
    OUT_OF_RANGE(2),
    FAILED_PRECONDITION(3),
    /** The file is sound, but asks for what this version does not have. */
    UNSUPPORTED(4),
    /** The bytes are not a valid model (or saved session). */
    CORRUPT(20),
    UNSUPPORTED_VERSION(21),
    /** A saved session of another model, or a pack of another base. */
    MISMATCH(22),
    NOT_FOUND(40),
    IO(41),
    OUT_OF_MEMORY(42),
    /** Stopped by {@link Session#cancel()} or by closing the session. */
    CANCELLED(60),
    INTERNAL(61),
    /** A code that this Java class does not know. */
    UNKNOWN(-1);

    private final int code;

    Status(int code) {
      this.code = code;
    }

    @NonNull
    static Status of(int code) {
      for (Status status : values()) {
        if (status.code == code) return status;
      }
      return UNKNOWN;
    }
  }

  private final int code;

  GraftException(Status status, String message) {
    this(status.code, message.getBytes(StandardCharsets.UTF_8));
  }

  // Called by native code, and by consumer-rules.pro's promise only by it.
  GraftException(int code, byte[] message) {
    this(code, new String(message, StandardCharsets.UTF_8));
  }

  GraftException(int code, @NonNull String message) {
    super(message);
    this.code = code;
  }

  @NonNull
  static GraftException cancelled() {
    return new GraftException(Status.CANCELLED.code, "generation was cancelled");
  }

  /** The kind of failure. */
  @NonNull
  public Status getStatus() {
    return Status.of(code);
  }

  /** The number behind it: {@code GRAFT_...} of graft.h. */
  public int getCode() {
    return code;
  }

  /** Whether somebody asked for it: nothing is wrong then. */
  public boolean isCancelled() {
    return code == Status.CANCELLED.code;
  }
}
