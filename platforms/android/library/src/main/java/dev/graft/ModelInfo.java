// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** What a model is. Immutable. */
public final class ModelInfo {
  /** What a model is for: {@code GRAFT_TASK_...} of graft.h, which counts from 0 in this order. */
  public enum Task {
    TENSORS,
    TEXT_GENERATION,
    /** The first output is a vector for each text or image. */
    EMBEDDING,
    /** The first output is a score for each label, for each text or image. */
    CLASSIFICATION,
    /** The first output is a score for each label, for each token. */
    TOKEN_CLASSIFICATION,
    /** One that this Java class does not know. */
    UNKNOWN
  }

  /** What became of the cache of packed weights. */
  public enum CacheState {
    /** No folder was given, or nothing is to be packed. */
    OFF,
    /** Packed weights were mapped from it. */
    HIT,
    /** They were packed into a file of it, for the next opening. */
    STORED,
    /** They were packed into memory; {@link #getCacheNote} says why. */
    FAILED,
    /** A state that this Java class does not know. */
    UNKNOWN
  }

  private final long[] numbers; // as native code orders them
  private final String architecture;
  private final String cacheNote;

  ModelInfo(long[] numbers, String architecture, String cacheNote) {
    this.numbers = numbers;
    this.architecture = architecture;
    this.cacheNote = cacheNote;
  }

  @NonNull
  public Task getTask() {
    return numbers[0] >= 0 && numbers[0] < Task.UNKNOWN.ordinal()
        ? Task.values()[(int) numbers[0]]
        : Task.UNKNOWN;
  }

  /** "llama", ...; "" if the file does not say. */
  @NonNull
  public String getArchitecture() {
    return architecture;
  }

  /** Positions the model was trained for; 0: unbounded. */
  public long getContextTokens() {
    return numbers[1];
  }

  /** Token ids are below this; 0: not a token model. */
  public int getVocabulary() {
    return (int) numbers[2];
  }

  public boolean hasTokenizer() {
    return numbers[3] != 0;
  }

  public long getFileBytes() {
    return numbers[4];
  }

  /** Hash of graph and weights, 32 hexadecimal digits: equal for equal models. */
  @NonNull
  public String getIdentity() {
    return hexadecimal(numbers[5]) + hexadecimal(numbers[6]);
  }

  @NonNull
  public CacheState getCacheState() {
    return numbers[7] >= 0 && numbers[7] < CacheState.UNKNOWN.ordinal()
        ? CacheState.values()[(int) numbers[7]]
        : CacheState.UNKNOWN;
  }

  /** Of all packed weights. */
  public long getPackedBytes() {
    return numbers[8];
  }

  /** Why a file of the cache was not taken or not stored; "" if all is well. */
  @NonNull
  public String getCacheNote() {
    return cacheNote;
  }

  /** Whether {@link Model#renderChat} works without a template of the caller's. */
  public boolean hasChatTemplate() {
    return numbers[9] != 0;
  }

  /** Whether {@link Session#classify} or {@link Session#embed} works, by the task. */
  public boolean takesImages() {
    return numbers[10] != 0;
  }

  private static String hexadecimal(long value) {
    String digits = Long.toHexString(value);
    return "0000000000000000".substring(digits.length()) + digits;
  }
}
