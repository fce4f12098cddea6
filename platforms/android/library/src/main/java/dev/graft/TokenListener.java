// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** Receives tokens as they are generated. */
public interface TokenListener {
  /**
   * Called for each token, on the thread that called {@link Session#generate}.
   *
   * <p>Of the session, only {@link Session#cancel()} and {@link Session#close()} may be called from
   * here. An exception thrown here ends the generation and comes out of {@code generate}.
   *
   * @param id the token, or -1 for the rest of the text after the last one
   * @param text what became certain by it: whole characters, "" while one is incomplete
   * @return true to go on, false to stop
   */
  boolean onToken(int id, @NonNull String text);
}
