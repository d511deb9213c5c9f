#include "common/version.h"

namespace benchfs {

std::string_view version() { return BENCHFS_VERSION; }

}  // namespace benchfs
