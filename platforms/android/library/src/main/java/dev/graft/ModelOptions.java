// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.io.File;

/** How a model is opened. Immutable. */
public final class ModelOptions {
  /** As many threads as help, no cache. */
  @NonNull public static final ModelOptions DEFAULT = builder().build();

  final int threads;
  final boolean verifyContents;
  final byte[] cacheFolder; // null: none
  final long cacheLimitBytes;
  final long memoryLimitBytes;
  final byte[] packPath; // null: none, or by the descriptor
  final int packDescriptor; // -1: none
  final long packOffset;
  final long packLength;
  final byte[] packSignature; // null: beside the pack
  final byte[] trustedKeys; // null: any file is opened
  final byte[] signature; // null: beside the model

  private ModelOptions(Builder from) {
    threads = from.threads;
    verifyContents = from.verifyContents;
    cacheFolder = from.cacheFolder;
    cacheLimitBytes = from.cacheLimitBytes;
    memoryLimitBytes = from.memoryLimitBytes;
    packPath = from.packPath;
    packDescriptor = from.packDescriptor;
    packOffset = from.packOffset;
    packLength = from.packLength;
    packSignature = from.packSignature;
    trustedKeys = from.trustedKeys;
    signature = from.signature;
  }

  @NonNull
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options; what is not set has its default. */
  public static final class Builder {
    private int threads;
    private boolean verifyContents;
    private byte[] cacheFolder;
    private long cacheLimitBytes;
    private long memoryLimitBytes;
    private byte[] packPath;
    private int packDescriptor = -1;
    private long packOffset;
    private long packLength;
    private byte[] packSignature;
    private byte[] trustedKeys;
    private byte[] signature;

    private Builder() {}

    /** Threads used while loading; 0, the default: as many as help, at most the big cores. */
    @NonNull
    public Builder threads(int threads) {
      this.threads = Check.notNegative(threads, "threads");
      return this;
    }

    /** Whether to check every checksum, which reads the whole file. Default false. */
    @NonNull
    public Builder verifyContents(boolean verifyContents) {
      this.verifyContents = verifyContents;
      return this;
    }

    /**
     * Where packed weights are kept for the next start, for example {@code new
     * File(context.getCacheDir(), "graft")}; null, the default: nowhere. A cache that cannot be
     * used is no error.
     */
    @NonNull
    public Builder cacheFolder(@Nullable File folder) {
      cacheFolder = folder == null ? null : Check.withoutZero(folder.getPath(), "folder");
      return this;
    }

    /** Of all files of the cache together; 0, the default: 8 GiB. */
    @NonNull
    public Builder cacheLimitBytes(long bytes) {
      cacheLimitBytes = Check.notNegative(bytes, "cacheLimitBytes");
      return this;
    }

    /**
     * Packed weights that take more are OUT_OF_MEMORY before they are made; also the limit of
     * sessions that set none. 0, the default: none.
     */
    @NonNull
    public Builder memoryLimitBytes(long bytes) {
      memoryLimitBytes = Check.notNegative(bytes, "memoryLimitBytes");
      return this;
    }

    /**
     * What the model is to become: a .graftpack file, such as what an adapter changed of a base. The
     * model is then the one that was packed, to the bit, with its identity. A pack that was made for
     * another base is MISMATCH. null, the default: the model as it is.
     */
    @NonNull
    public Builder pack(@Nullable File file) {
      packPath = file == null ? null : Check.withoutZero(file.getPath(), "file");
      packDescriptor = -1;
      return this;
    }

    /**
     * The same for a part of an open file, such as an asset that lies uncompressed in an APK.
     *
     * @param descriptor stays the caller's, who may close it once the model is open
     * @param offset in bytes
     * @param length in bytes; 0: up to the file's end
     */
    @NonNull
    public Builder packDescriptor(int descriptor, long offset, long length) {
      packPath = null;
      packDescriptor = Check.notNegative(descriptor, "descriptor");
      packOffset = Check.notNegative(offset, "offset");
      packLength = Check.notNegative(length, "length");
      return this;
    }

    /**
     * Opens only files that one of these keys has signed, packs among them, also in {@link
     * Model#swap}; another is MISMATCH. The whole file is read for it. None, the default: any file.
     *
     * @param keys Ed25519 public keys of 32 bytes each
     */
    @NonNull
    public Builder trustedKeys(@NonNull byte[]... keys) {
      byte[] all = new byte[32 * Check.notNull(keys, "keys").length];
      for (int i = 0; i < keys.length; ++i) {
        if (Check.notNull(keys[i], "a key").length != 32) {
          throw new IllegalArgumentException("a key must have 32 bytes");
        }
        System.arraycopy(keys[i], 0, all, 32 * i, 32);
      }
      trustedKeys = keys.length == 0 ? null : all;
      return this;
    }

    /**
     * The model's signature; null, the default: of a model that is opened by its file, the file of
     * that name with ".sig" behind it.
     */
    @NonNull
    public Builder signature(@Nullable byte[] bytes) {
      signature = bytes == null ? null : bytes.clone();
      return this;
    }

    /** The same of the pack. */
    @NonNull
    public Builder packSignature(@Nullable byte[] bytes) {
      packSignature = bytes == null ? null : bytes.clone();
      return this;
    }

    @NonNull
    public ModelOptions build() {
      return new ModelOptions(this);
    }
  }
}
