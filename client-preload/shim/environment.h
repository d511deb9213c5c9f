// What the process environment tells the preloaded library; nothing else in it calls getenv.
#pragma once

#include <string>

#include "client-preload/fs/file_system.h"

namespace benchfs::shim {

// local_dir is empty when BENCHFS_LOCAL is unset: the library then does nothing.
Settings settings_from_environment();
// PATH as execvp(3) takes it.
std::string search_path();

}  // namespace benchfs::shim
