#include "registry/host_record.h"

#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "common/fd.h"
#include "common/placement.h"
#include "common/sys.h"
#include "registry/bytes.h"
#include "registry/host_id.h"

namespace benchfs {
namespace {

constexpr std::uint64_t magic = 0x74736f6873666362;  // "bcfshost"
constexpr std::uint32_t format_version = 1;
constexpr std::size_t path_bytes_max = 4095;
constexpr std::size_t record_bytes_max = 8U << 20;  // ranks_max ranks on one host fit

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Error error_of(long result) { return Error(static_cast<int>(-result)); }

Status write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = sys::write(fd, bytes.data(), bytes.size());
    if (n == -EINTR) continue;
    if (n < 0) return error_of(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return Done{};
}

}  // namespace

std::vector<std::byte> encode(const HostRecord& record) {
  ByteWriter out;
  out.number(magic);
  out.number(format_version);
  out.number(record.size);
  out.fixed(record.instance);
  out.text(record.mount_point);
  out.number(static_cast<std::uint32_t>(record.local_ranks.size()));
  for (const std::uint32_t rank : record.local_ranks) out.number(rank);
  out.number(checksum(out.bytes()));
  return std::move(out.bytes());
}

Result<HostRecord> decode_host_record(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(std::uint64_t)) return Error(EBADMSG);
  const auto body = bytes.first(bytes.size() - sizeof(std::uint64_t));
  ByteReader tail(bytes.subspan(body.size()));
  if (tail.number<std::uint64_t>() != checksum(body)) return Error(EBADMSG);

  ByteReader in(body);
  if (in.number<std::uint64_t>() != magic) return Error(EBADMSG);
  if (in.number<std::uint32_t>() != format_version) return Error(EBADMSG);
  HostRecord record;
  record.size = in.number<std::uint32_t>();
  record.instance = in.fixed<16>();
  record.mount_point = in.text(path_bytes_max);
  const auto count = in.number<std::uint32_t>();
  if (in.failed() || record.size > ranks_max || count == 0 || count > record.size ||
      record.mount_point.empty() || count > (body.size() - in.offset()) / sizeof(std::uint32_t))
    return Error(EBADMSG);
  record.local_ranks.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto rank = in.number<std::uint32_t>();
    if (rank >= record.size || (i > 0 && rank <= record.local_ranks.back())) return Error(EBADMSG);
    record.local_ranks.push_back(rank);
  }
  if (!in.complete()) return Error(EBADMSG);
  return record;
}

Result<std::string> host_record_path(const char* local_dir) {
  TRY(const std::uint64_t id, host_id());
  return std::string(local_dir) + "/host_" + host_id_text(id);
}

Result<HostRecord> read_host_record(const char* local_dir) {
  TRY(const std::string path, host_record_path(local_dir));
  const Fd file(sys::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return error_of(file.get());

  struct statx attributes {};
  const long stated = sys::call(SYS_statx, file.get(), sys::pointer(""), AT_EMPTY_PATH,
                                STATX_UID | STATX_SIZE | STATX_TYPE, sys::pointer(&attributes));
  if (stated < 0) return error_of(stated);
  if (attributes.stx_uid != static_cast<std::uint32_t>(sys::call(SYS_geteuid))) return Error(EPERM);
  if (!S_ISREG(attributes.stx_mode) || attributes.stx_size > record_bytes_max)
    return Error(EBADMSG);

  std::vector<std::byte> bytes(static_cast<std::size_t>(attributes.stx_size));
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = sys::read(file.get(), bytes.data() + got, bytes.size() - got);
    if (n == -EINTR) continue;
    if (n < 0) return error_of(n);
    if (n == 0) return Error(EBADMSG);
    got += static_cast<std::size_t>(n);
  }
  return decode_host_record(bytes);
}

Status write_host_record(const char* local_dir, const HostRecord& record) {
  TRY(const std::string path, host_record_path(local_dir));
  const std::string temporary = path + ".new";
  sys::call(SYS_unlinkat, AT_FDCWD, sys::pointer(temporary.c_str()), 0);
  const Fd file(sys::openat(AT_FDCWD, temporary.c_str(),
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return error_of(file.get());
  TRY_OK(write_all(file.get(), encode(record)));
  const long synced = sys::call(SYS_fsync, file.get());
  if (synced < 0) return error_of(synced);
  const long renamed = sys::call(SYS_renameat2, AT_FDCWD, sys::pointer(temporary.c_str()), AT_FDCWD,
                                 sys::pointer(path.c_str()), 0);
  if (renamed < 0) return error_of(renamed);
  return Done{};
}

}  // namespace benchfs
