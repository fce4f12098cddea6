// SPDX-License-Identifier: Apache-2.0
package android.os;

import java.io.Closeable;
import java.io.File;
import java.io.FileDescriptor;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Field;

/** Stands in for Android's class of this name, with what dev.graft uses of it: a number for an open file. */
public class ParcelFileDescriptor implements Closeable {
  private final RandomAccessFile file;

  public ParcelFileDescriptor(File file) throws IOException {
    this.file = new RandomAccessFile(file, "r");
  }

  /** The JVM hides it; Android does not. */
  public int getFd() {
    try {
      Field field = FileDescriptor.class.getDeclaredField("fd");
      field.setAccessible(true);
      return field.getInt(file.getFD());
    } catch (IOException | ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
