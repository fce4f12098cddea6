// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** What native code calls for each token of one generation: gathers them and tells the listener. */
final class TokenSink {
  private final Session session;
  private final TokenListener listener; // may be null
  private final StringBuilder text = new StringBuilder();
  private int[] ids = new int[64];
  private int count;
  private TokenLogprobs[] logprobs = {};
  private int logprobCount;

  TokenSink(Session session, TokenListener listener) {
    this.session = session;
    this.listener = listener;
  }

  /** Called by native code; {@code utf8} is null for no text. */
  boolean accept(int id, byte[] utf8) {
    // Native code forgets what was cancelled before it began.
    if (session.isCancelled()) return false;
    if (id >= 0) {
      if (count == ids.length) ids = Arrays.copyOf(ids, 2 * count);
      ids[count++] = id;
    }
    String piece = utf8 == null ? "" : new String(utf8, StandardCharsets.UTF_8);
    text.append(piece);
    return listener == null || listener.onToken(id, piece);
  }

  /** Called by native code before accept, if it was asked for. */
  void logprobs(int id, float logprob, int[] ids, float[] values) {
    if (logprobCount == logprobs.length) {
      logprobs = Arrays.copyOf(logprobs, Math.max(64, 2 * logprobCount));
    }
    logprobs[logprobCount++] = new TokenLogprobs(id, logprob, ids, values);
  }

  TokenLogprobs[] logprobs() {
    return Arrays.copyOf(logprobs, logprobCount);
  }

  boolean isFor(TokenListener other) {
    return listener == other;
  }

  String text() {
    return text.toString();
  }

  int[] ids() {
    return Arrays.copyOf(ids, count);
  }
}
