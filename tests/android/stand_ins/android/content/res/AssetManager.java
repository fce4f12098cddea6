// SPDX-License-Identifier: Apache-2.0
package android.content.res;

import android.os.ParcelFileDescriptor;
import java.io.File;
import java.io.IOException;

/** Stands in for Android's class of this name: one asset, "model.graft", inside of a file. */
public final class AssetManager {
  private final File file;
  private final long offset;
  private final long length;

  public AssetManager(File file, long offset, long length) {
    this.file = file;
    this.offset = offset;
    this.length = length;
  }

  public AssetFileDescriptor openFd(String name) throws IOException {
    if (!name.equals("model.graft")) throw new IOException(name);
    return new AssetFileDescriptor(new ParcelFileDescriptor(file), offset, length);
  }
}
