// SPDX-License-Identifier: Apache-2.0
// What graft found out about the machine: cores, features, kernels.
#pragma once

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {

/// Prints it to stdout in lines, or gives it as an object. Both return an exit code; a failure has
/// been printed.
int ShowMachine();
int DescribeMachine(JsonObject* object);

}  // namespace graft_run
