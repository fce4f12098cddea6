// SPDX-License-Identifier: Apache-2.0
// What link.sh compiles of the dependencies asks of bionic's <sys/system_properties.h>.
#pragma once

#define PROP_NAME_MAX 32
#define PROP_VALUE_MAX 92

int __system_property_get(const char* name, char* value);
