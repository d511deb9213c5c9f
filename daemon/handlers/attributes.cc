#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"
#include "daemon/handlers/open_state.h"

namespace benchfs {
namespace {

// Of the one user whose servers and programs these are.
bool in_own_groups(std::uint32_t gid) {
  if (gid == ::getegid()) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(0, count)));
  return std::ranges::find(groups, gid) != groups.end();
}

// A write by its owner, who is not root, reached a file with privileges.
Answer take_privileges(Server& server, const Inode& inode) {
  if (privileges(inode) != 0) server.names.change(inode).mode &= ~privileges(inode);
  return Answer(attributes_of(inode));
}

Answer set(Server& server, const Caller& caller, const wire::SetAttributes& request,
           const Inode& inode) {
  if (inode.is_symlink() && (request.valid & wire::valid_mode) != 0)
    return Answer(Error(EOPNOTSUPP));
  const std::int64_t time = now();
  Inode& changed = server.names.change(inode);
  if ((request.valid & wire::valid_mode) != 0) {
    changed.mode = changed.type() | (request.mode & 07777);
    if (caller.uid != 0 && (changed.mode & S_ISGID) != 0 && !in_own_groups(changed.gid))
      changed.mode &= ~std::uint32_t{S_ISGID};
  }
  if ((request.valid & (wire::valid_uid | wire::valid_gid | wire::valid_owner)) != 0)
    changed.mode &= ~privileges(changed);
  if ((request.valid & wire::valid_uid) != 0) changed.uid = request.uid;
  if ((request.valid & wire::valid_gid) != 0) changed.gid = request.gid;
  if ((request.valid & wire::valid_accessed) != 0) changed.accessed = request.accessed;
  if ((request.valid & wire::valid_modified) != 0) changed.modified = request.modified;
  if ((request.valid & wire::valid_accessed_now) != 0) changed.accessed = time;
  if ((request.valid & wire::valid_modified_now) != 0) changed.modified = time;
  changed.changed = time;
  return Answer(attributes_of(changed));
}

// A directory that was split: its parts decide by its mode and owner, too.
Task<Answer> set_of_split(Server& server, const Caller& caller, wire::SetAttributes request,
                          std::uint64_t number, bool times) {
  const auto before = co_await attributes_of_whole(server, number);
  if (!before.ok()) co_return Answer(before.error());
  LockKey key{number, std::string()};  // so that no part is made meanwhile
  const int locked = co_await server.names.lock(server.loop, key);
  if (locked != 0) co_return Answer(Error(-locked));
  Status told = Error(ENOENT);
  if (Inode* const inode = server.names.change(number); inode != nullptr) {
    inode->modified = std::max(inode->modified, before->modified);
    if (times) inode->directory->partition->times_set = now();
    set(server, caller, request, *inode);
    told = co_await tell_parts(server, number, inode->mode, inode->uid, inode->gid);
  }
  server.names.unlock(number, {});
  if (!told.ok()) co_return Answer(told.error());
  const auto after = co_await attributes_of_whole(server, number);
  co_return after.ok() ? Answer(*after) : Answer(after.error());
}

}  // namespace

Task<Answer> handle_set_attributes(Server& server, const Caller& caller,
                                   wire::SetAttributes request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  const bool times = (request.valid & (wire::valid_accessed | wire::valid_modified |
                                       wire::valid_accessed_now | wire::valid_modified_now)) != 0;
  if (request.valid == wire::valid_written) co_return take_privileges(server, *inode);
  if (may_be_open(server, *inode)) {  // the writers' sizes and times count up to here
    const std::uint64_t number = inode->number;
    std::uint32_t news = wire::News::attributes_set;
    if (times) news |= wire::News::times_set;
    if ((request.valid & wire::valid_mode) != 0 && (request.mode & (S_ISUID | S_ISGID)) != 0)
      news |= wire::News::privileges_given;
    const Status known = co_await refresh(server, number, news);
    if (!known.ok()) co_return Answer(known.error());
    inode = server.names.find(number);
  }
  if (caller.uid != 0) {
    if ((request.valid & wire::valid_uid) != 0 && request.uid != inode->uid)
      co_return Answer(Error(EPERM));
    if ((request.valid & wire::valid_gid) != 0 && request.gid != inode->gid &&
        !in_own_groups(request.gid))
      co_return Answer(Error(EPERM));
  }
  if (inode->is_directory() && inode->directory->parts() != 0)
    co_return co_await set_of_split(server, caller, request, inode->number, times);
  co_return set(server, caller, request, *inode);
}

}  // namespace benchfs
