// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** How a session is made. Immutable. */
public final class SessionOptions {
  /** The model's context, at most 4096 tokens. */
  @NonNull public static final SessionOptions DEFAULT = builder().build();

  final int threads;
  final int contextTokens;
  final int prefillChunk;
  final KvFormat kvFormat;
  final byte[] cpus; // null: anywhere
  final long memoryLimitBytes;

  private SessionOptions(Builder from) {
    threads = from.threads;
    contextTokens = from.contextTokens;
    prefillChunk = from.prefillChunk;
    kvFormat = from.kvFormat;
    cpus = from.cpus;
    memoryLimitBytes = from.memoryLimitBytes;
  }

  @NonNull
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options; what is not set, or 0, has its default. */
  public static final class Builder {
    private int threads;
    private int contextTokens;
    private int prefillChunk;
    private KvFormat kvFormat = KvFormat.AUTO;
    private byte[] cpus;
    private long memoryLimitBytes;

    private Builder() {}

    /** Default: one for each of the {@link #cpus} given, else as the model's. */
    @NonNull
    public Builder threads(int threads) {
      this.threads = Check.notNegative(threads, "threads");
      return this;
    }

    /** Positions to make room for. Default: the model's, at most 4096. */
    @NonNull
    public Builder contextTokens(int tokens) {
      contextTokens = Check.notNegative(tokens, "contextTokens");
      return this;
    }

    /** Tokens of a prompt computed at a time. Default 128. */
    @NonNull
    public Builder prefillChunk(int tokens) {
      prefillChunk = Check.notNegative(tokens, "prefillChunk");
      return this;
    }

    /** Default {@link KvFormat#AUTO}. */
    @NonNull
    public Builder kvFormat(@NonNull KvFormat format) {
      kvFormat = Check.notNull(format, "format");
      return this;
    }

    /**
     * The CPUs that the session computes on, such as "4-7" or {@link CpuInfo#getBigCpus}; its
     * threads are then one for each by default. A CPU that does not exist or that the app may not
     * use makes {@link Model#newSession} fail with INVALID_ARGUMENT. Default: wherever Android puts
     * the threads, which mostly is best.
     */
    @NonNull
    public Builder cpus(@NonNull String list) {
      cpus = Check.withoutZero(list, "list");
      return this;
    }

    /**
     * Of packed weights, keys and values, activations and outputs together: what would take more is
     * OUT_OF_MEMORY, and says which context fits. 0, the default: the model's limit.
     */
    @NonNull
    public Builder memoryLimitBytes(long bytes) {
      memoryLimitBytes = Check.notNegative(bytes, "memoryLimitBytes");
      return this;
    }

    @NonNull
    public SessionOptions build() {
      return new SessionOptions(this);
    }
  }
}
