// PathWalk: takes one operation along a path, from server to server and through symlinks, to where
// it is done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "client-preload/fs/channel.h"
#include "client-preload/fs/file_system.h"
#include "common/result.h"
#include "common/wire.h"

namespace benchfs {

struct Core;

constexpr std::uint32_t wire_follow(bool follow) {
  return follow ? std::uint32_t{wire::WhereFlag::follow} : 0;
}

class PathWalk {
 public:
  // `path` must outlive the walk.
  PathWalk(Core& core, const Path& path)
      : core_(core), path_(path), inode_(path.inode), text_(path.text) {}

  // Sends `message`, which begins with its Where, followed by the path and `suffix`. The reply is
  // in `request`. left_mount: see outside_path().
  template <wire::Message M>
  Result<typename M::Reply> run(Request& request, M message, std::uint32_t flags,
                                std::string_view suffix = {}) {
    message.where = {.inode = 0, .path_bytes = 0, .flags = flags};
    TRY_OK(perform(request, M::op, std::as_writable_bytes(std::span(&message, 1)), suffix));
    return wire::parse<typename M::Reply>(request.body());
  }
  template <wire::Message M>
  Result<typename M::Reply> run(const M& message, std::uint32_t flags,
                                std::string_view suffix = {}) {
    Request request;
    return run(request, message, flags, suffix);
  }

  // Where the walk stands: what the last request named.
  std::uint64_t inode() const { return inode_; }
  std::string_view text() const { return text_; }

 private:
  Status perform(Request& request, wire::Op op, std::span<std::byte> head, std::string_view suffix);
  bool began_well() const;
  Status redirect(const Request& request);
  Status go_outside_or_on(std::string name);
  void go_to(std::uint64_t inode, std::string text);

  Core& core_;
  const Path& path_;
  std::uint64_t inode_;
  std::uint64_t began_at_ = 0;
  std::string_view text_;  // of path_, or own_
  std::string own_;
  std::uint32_t extra_flags_ = 0;
  int symlinks_ = 0;
  bool at_moved_inode_ = false;  // the last step was to an inode itself, on another server
};

}  // namespace benchfs
