// SPDX-License-Identifier: Apache-2.0
// What link.sh compiles of the dependencies asks of the NDK's <android/log.h>.
#pragma once

#include <stdarg.h>

enum {
  ANDROID_LOG_DEBUG = 3,
  ANDROID_LOG_INFO = 4,
  ANDROID_LOG_WARN = 5,
  ANDROID_LOG_ERROR = 6,
  ANDROID_LOG_FATAL = 7
};

int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments);
