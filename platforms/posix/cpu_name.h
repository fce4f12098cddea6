// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace graft::platform {

/// The name of CPU number `cpu` by the text of /proc/cpuinfo; "" if it does not tell.
std::string CpuName(const std::string& cpuinfo, unsigned cpu);

}  // namespace graft::platform
