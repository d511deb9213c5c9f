// What stat(2) and statvfs(3) answer for what the servers know.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>

#include "common/wire.h"
#include "registry/host_record.h"

namespace benchfs {

// The same on every host of an instance, and like that of no mounted filesystem.
dev_t device_of(const InstanceId& instance);
struct stat to_stat(const wire::Attributes& attributes, dev_t device);
// With the birth time, if it is known.
struct statx to_statx(const wire::Attributes& attributes, dev_t device);
struct statvfs to_statvfs(const wire::FileSystemReply& reply, dev_t device);
timespec to_timespec(std::int64_t ns);

}  // namespace benchfs
