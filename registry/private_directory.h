// A directory that only its user may write to: the registry and the node-local job directory.
#pragma once

#include <string>

#include "common/fd.h"

namespace benchfs {

// Opens `path`, which must be a directory of this user. An empty one is made 0700; one that holds
// something is left as it is and refused if others may write to it, as is one with the sticky bit,
// which is meant for all users. Messages begin with `what` ("Registry directory"). Throws
// StartFailure with `code`; a missing directory is `missing_line`.
Fd open_private_directory(const std::string& path, const std::string& what, int code,
                          const std::string& missing_line);

// Deletes what `dir` holds, but for the entry `keep`; symbolic links are not followed. False:
// something could not be deleted.
bool wipe_directory(int dir, const char* keep = "");

}  // namespace benchfs
