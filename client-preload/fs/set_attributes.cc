#include "client-preload/fs/set_attributes.h"

#include <sys/stat.h>

#include "client-preload/fs/core.h"
#include "client-preload/fs/path_walk.h"
#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

struct Valid {
  std::uint32_t given;
  std::uint32_t now;
};

Status set_time(const timespec& time, Valid bits, std::int64_t& out, std::uint32_t& valid) {
  if (time.tv_nsec == UTIME_OMIT) return Done{};
  if (time.tv_nsec == UTIME_NOW) {
    valid |= bits.now;
    return Done{};
  }
  if (time.tv_nsec < 0 || time.tv_nsec >= second_ns) return Error(EINVAL);
  if (__builtin_mul_overflow(time.tv_sec, second_ns, &out) ||
      __builtin_add_overflow(out, time.tv_nsec, &out))
    out = time.tv_sec < 0 ? INT64_MIN : INT64_MAX;  // as far as a time reaches here
  valid |= bits.given;
  return Done{};
}

}  // namespace

wire::SetAttributes mode_request(mode_t mode) {
  wire::SetAttributes request{};
  request.valid = wire::valid_mode;
  request.mode = mode & 07777;
  return request;
}

wire::SetAttributes owner_request(uid_t uid, gid_t gid) {
  wire::SetAttributes request{};
  request.valid = wire::valid_owner;
  if (uid != static_cast<uid_t>(-1)) request.valid |= wire::valid_uid;
  if (gid != static_cast<gid_t>(-1)) request.valid |= wire::valid_gid;
  request.uid = uid;
  request.gid = gid;
  return request;
}

Result<wire::SetAttributes> times_request(const struct timespec* times) {
  wire::SetAttributes request{};
  if (times == nullptr) {
    request.valid = wire::valid_accessed_now | wire::valid_modified_now;
    return request;
  }
  TRY_OK(set_time(times[0], {wire::valid_accessed, wire::valid_accessed_now}, request.accessed,
                  request.valid));
  TRY_OK(set_time(times[1], {wire::valid_modified, wire::valid_modified_now}, request.modified,
                  request.valid));
  return request;
}

Status set_attributes(Core& core, std::uint64_t inode, const wire::SetAttributes& request) {
  TRY_OK(core.ready_to_change());
  wire::SetAttributes message = request;
  message.where = {.inode = inode, .path_bytes = 0, .flags = 0};
  TRY([[maybe_unused]] const auto attributes, core.ask(home_rank(inode), message));
  return Done{};
}

Status set_attributes(Core& core, const Path& path, bool follow,
                      const wire::SetAttributes& request) {
  TRY_OK(core.ready());
  PathWalk walk(core, path);
  if (core.read_only()) {
    TRY([[maybe_unused]] const auto there, walk.run(wire::Stat{}, wire_follow(follow)));
    return Error(EROFS);
  }
  TRY([[maybe_unused]] const auto attributes, walk.run(request, wire_follow(follow)));
  return Done{};
}

}  // namespace benchfs
