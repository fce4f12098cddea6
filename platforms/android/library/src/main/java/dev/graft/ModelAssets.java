// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;
import android.os.ParcelFileDescriptor;
import androidx.annotation.NonNull;
import java.io.IOException;

/**
 * Opens models where Android keeps files that have no path: assets of the APK, and documents of
 * other apps.
 */
public final class ModelAssets {
  private ModelAssets() {}

  /**
   * Opens an asset. It must lie uncompressed in the APK ({@code androidResources { noCompress +=
   * "graft" }}); its bytes are then mapped where they are if their offset is a multiple of 64, and
   * read otherwise.
   *
   * @throws IOException if there is no such asset, or it is compressed
   * @throws GraftException as {@link Model#open(java.io.File, ModelOptions)}
   */
  @NonNull
  public static Model open(
      @NonNull AssetManager assets, @NonNull String name, @NonNull ModelOptions options)
      throws IOException {
    Check.notNull(assets, "assets");
    Check.notNull(name, "name");
    try (AssetFileDescriptor asset = assets.openFd(name)) {
      return open(asset, options);
    }
  }

  /** The same for an open asset, which stays the caller's to close, at any time after this call. */
  @NonNull
  public static Model open(@NonNull AssetFileDescriptor asset, @NonNull ModelOptions options) {
    Check.notNull(asset, "asset");
    return Model.openDescriptor(
        asset.getParcelFileDescriptor().getFd(), asset.getStartOffset(), lengthOf(asset), options);
  }

  private static long lengthOf(AssetFileDescriptor asset) {
    long length = asset.getLength();
    return length == AssetFileDescriptor.UNKNOWN_LENGTH ? 0 : length; // 0: up to the file's end
  }

  /**
   * What opening an asset would take, as {@link Model#estimate}.
   *
   * @throws IOException if there is no such asset, or it is compressed
   */
  @NonNull
  public static MemoryEstimate estimate(
      @NonNull AssetManager assets, @NonNull String name, @NonNull SessionOptions options)
      throws IOException {
    Check.notNull(assets, "assets");
    Check.notNull(name, "name");
    try (AssetFileDescriptor asset = assets.openFd(name)) {
      return Model.estimateDescriptor(
          asset.getParcelFileDescriptor().getFd(), asset.getStartOffset(), lengthOf(asset), options);
    }
  }

  /**
   * Opens a document, for example of {@code contentResolver.openFileDescriptor(uri, "r")}. The
   * descriptor stays the caller's to close, at any time after this call.
   *
   * @throws GraftException IO if it is a pipe, not a file
   */
  @NonNull
  public static Model open(@NonNull ParcelFileDescriptor document, @NonNull ModelOptions options) {
    Check.notNull(document, "document");
    return Model.openDescriptor(document.getFd(), 0, 0, options);
  }
}
