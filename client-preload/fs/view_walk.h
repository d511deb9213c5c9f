// What can be answered from the views that the servers of this host show, without a request.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "client-preload/fs/file_system.h"
#include "common/host_view.h"
#include "common/wire.h"

namespace benchfs {

struct Core;

// The attributes of what `path` leads to (but its birth time), or ENOENT. None: a server is to be
// asked, also for what is forbidden.
std::optional<Result<wire::Attributes>> view_attributes(Core& core, const Path& path, bool follow);
std::optional<wire::Attributes> view_attributes(Core& core, std::uint64_t inode);

// To attributes that a server told or shows: what the tables of this host know of the last access.
void add_access_here(Core& core, wire::Attributes& attributes);

// What is shown of an inode, as it is.
std::optional<ViewInode> shown_inode(Core& core, std::uint64_t inode);

// As far into `text`, from directory `inode` on, as the views lead through directories: where a
// server's walk may begin. The last name stays.
struct Begun {
  std::uint64_t inode;
  std::string_view text;
};
Begun walk_in_view(Core& core, std::uint64_t inode, std::string_view text);

}  // namespace benchfs
