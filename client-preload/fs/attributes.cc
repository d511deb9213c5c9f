#include "client-preload/fs/attributes.h"

#include <sys/sysmacros.h>

#include <string_view>

#include "common/placement.h"

namespace benchfs {
namespace {

// What tmpfs and ext4 say: tools choose the same transfer sizes as in a plain directory.
constexpr std::uint32_t block_bytes = 4096;
constexpr std::int64_t second_ns = 1'000'000'000;

struct statx_timestamp to_timestamp(std::int64_t ns) {
  const timespec time = to_timespec(ns);
  struct statx_timestamp out {};
  out.tv_sec = time.tv_sec;
  out.tv_nsec = static_cast<std::uint32_t>(time.tv_nsec);
  return out;
}

}  // namespace

timespec to_timespec(std::int64_t ns) {
  std::int64_t seconds = ns / second_ns;
  std::int64_t rest = ns % second_ns;
  if (rest < 0) {  // before 1970
    rest += second_ns;
    --seconds;
  }
  return {.tv_sec = seconds, .tv_nsec = rest};
}

// Major number 0, as the kernel gives to filesystems without a device; minors so high are not in
// use.
dev_t device_of(const InstanceId& instance) {
  const std::uint64_t hash =
      hash_bytes({reinterpret_cast<const char*>(instance.data()), instance.size()});
  return makedev(0, 0x80000u | static_cast<unsigned>(hash & 0x7ffff));
}

struct stat to_stat(const wire::Attributes& attributes, dev_t device) {
  struct stat out {};
  out.st_dev = device;
  out.st_ino = attributes.inode;
  out.st_mode = attributes.mode;
  out.st_nlink = attributes.links;
  out.st_uid = attributes.uid;
  out.st_gid = attributes.gid;
  out.st_size = static_cast<off_t>(attributes.size);
  out.st_blksize = block_bytes;
  out.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  out.st_atim = to_timespec(attributes.accessed);
  out.st_mtim = to_timespec(attributes.modified);
  out.st_ctim = to_timespec(attributes.changed);
  return out;
}

struct statx to_statx(const wire::Attributes& attributes, dev_t device) {
  struct statx out {};
  out.stx_mask = STATX_BASIC_STATS | (attributes.born != 0 ? STATX_BTIME : 0);
  out.stx_blksize = block_bytes;
  out.stx_nlink = attributes.links;
  out.stx_uid = attributes.uid;
  out.stx_gid = attributes.gid;
  out.stx_mode = static_cast<std::uint16_t>(attributes.mode);
  out.stx_ino = attributes.inode;
  out.stx_size = attributes.size;
  out.stx_blocks = attributes.blocks;
  out.stx_atime = to_timestamp(attributes.accessed);
  out.stx_mtime = to_timestamp(attributes.modified);
  out.stx_ctime = to_timestamp(attributes.changed);
  if (attributes.born != 0) out.stx_btime = to_timestamp(attributes.born);
  out.stx_dev_major = major(device);
  out.stx_dev_minor = minor(device);
  return out;
}

struct statvfs to_statvfs(const wire::FileSystemReply& reply, dev_t device) {
  struct statvfs out {};
  out.f_bsize = block_bytes;
  out.f_frsize = block_bytes;
  out.f_blocks = reply.bytes_total / block_bytes;
  out.f_bfree = reply.bytes_free / block_bytes;
  out.f_bavail = out.f_bfree;
  // Inodes take memory and nothing else: as many are free as blocks.
  out.f_ffree = out.f_bfree;
  out.f_favail = out.f_bfree;
  out.f_files = reply.inodes + out.f_ffree;
  out.f_fsid = device;
  out.f_namemax = wire::name_bytes_max;
  return out;
}

}  // namespace benchfs
