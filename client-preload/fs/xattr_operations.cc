// Extended attributes. Those of user.* are kept by the servers; what the kernel would say of others
// is said here.
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>

#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/path_walk.h"
#include "client-preload/fs/transfer_pool.h"

namespace benchfs {
namespace {

constexpr std::string_view kept_prefix = "user.";
constexpr std::string_view root_prefix = "trusted.";

// A buffer of the host's pool for one request; none for no bytes.
class PoolBuffer {
 public:
  PoolBuffer(Host& host, std::size_t bytes)
      : host_(host),
        taken_(bytes != 0),
        index_(taken_ ? TransferPool::take(host.pool(), host.self()) : 0) {}
  ~PoolBuffer() {
    if (taken_) TransferPool::give_back(host_.pool(), index_);
  }
  PoolBuffer(const PoolBuffer&) = delete;
  PoolBuffer& operator=(const PoolBuffer&) = delete;

  std::uint32_t index() const { return index_; }
  std::byte* data() { return host_.pool_buffer(index_); }

 private:
  Host& host_;
  const bool taken_;
  const std::uint32_t index_;
};

Status check_length(std::string_view name) {
  if (name.empty() || name.size() > wire::name_bytes_max) return Error(ERANGE);
  return Done{};
}

// None: a name that is kept.
std::optional<Error> refusal(std::string_view name, bool writes) {
  if (name.starts_with(kept_prefix)) {
    if (name.size() == kept_prefix.size()) return Error(EINVAL);
    return {};
  }
  if (name.starts_with(root_prefix) && sys::call(SYS_geteuid) != 0)
    return Error(writes ? EPERM : ENODATA);
  return Error(EOPNOTSUPP);
}

// What lies in `buffer` after the answer.
Result<std::size_t> take_out(PoolBuffer& buffer, const wire::XattrReply& reply,
                             std::span<std::byte> out) {
  const auto bytes = static_cast<std::size_t>(reply.bytes);
  if (out.empty()) return bytes;
  if (bytes > out.size()) return Error(EIO);
  std::memcpy(out.data(), buffer.data(), bytes);
  return bytes;
}

std::uint32_t room_in(std::span<std::byte> out) {
  return static_cast<std::uint32_t>(std::min(out.size(), wire::xattr_bytes_max));
}

}  // namespace

Result<std::size_t> HostFileSystem::get_xattr(const Path& path, std::string_view name,
                                              std::span<std::byte> out, bool follow) {
  TRY_OK(check_length(name));
  if (const auto refused = refusal(name, false)) {
    TRY([[maybe_unused]] const auto exists, attributes_of(path, follow));
    return *refused;
  }
  TRY_OK(core_.ready());
  const std::uint32_t room = room_in(out);
  PoolBuffer buffer(core_.host, room);
  const wire::GetXattr message{.where = {},
                               .name_bytes = static_cast<std::uint32_t>(name.size()),
                               .bytes = room,
                               .buffer = buffer.index(),
                               .reserved = 0};
  PathWalk walk(core_, path);
  TRY(const auto reply, walk.run(message, wire_follow(follow), name));
  return take_out(buffer, reply, out);
}

Result<std::size_t> HostFileSystem::list_xattrs(const Path& path, std::span<std::byte> out,
                                                bool follow) {
  TRY_OK(core_.ready());
  const std::uint32_t room = room_in(out);
  PoolBuffer buffer(core_.host, room);
  const wire::ListXattrs message{.where = {}, .bytes = room, .buffer = buffer.index()};
  PathWalk walk(core_, path);
  TRY(const auto reply, walk.run(message, wire_follow(follow)));
  return take_out(buffer, reply, out);
}

Status HostFileSystem::set_xattr(const Path& path, std::string_view name,
                                 std::span<const std::byte> value, int flags, bool follow) {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return Error(EINVAL);
  TRY_OK(check_length(name));
  if (value.size() > wire::xattr_bytes_max) return Error(E2BIG);
  if (const auto refused = refusal(name, true)) {
    TRY([[maybe_unused]] const auto exists, attributes_of(path, follow));
    return *refused;
  }
  TRY_OK(core_.ready());
  if (core_.read_only()) return refused_on(path, follow);
  PoolBuffer buffer(core_.host, value.size());
  if (!value.empty()) std::memcpy(buffer.data(), value.data(), value.size());
  const wire::SetXattr message{.where = {},
                               .name_bytes = static_cast<std::uint32_t>(name.size()),
                               .bytes = static_cast<std::uint32_t>(value.size()),
                               .buffer = buffer.index(),
                               .flags = static_cast<std::uint32_t>(flags)};
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto done, walk.run(message, wire_follow(follow), name));
  return Done{};
}

Status HostFileSystem::remove_xattr(const Path& path, std::string_view name, bool follow) {
  TRY_OK(check_length(name));
  if (const auto refused = refusal(name, true)) {
    TRY([[maybe_unused]] const auto exists, attributes_of(path, follow));
    return *refused;
  }
  TRY_OK(core_.ready());
  if (core_.read_only()) return refused_on(path, follow);
  const wire::RemoveXattr message{.where = {}, .name_bytes = name.size()};
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto done, walk.run(message, wire_follow(follow), name));
  return Done{};
}

}  // namespace benchfs
