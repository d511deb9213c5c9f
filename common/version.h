// The version of this build, as the programs print it.
#pragma once

#include <string_view>

namespace benchfs {

std::string_view version();

}  // namespace benchfs
