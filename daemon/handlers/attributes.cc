#include <unistd.h>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {

Task<Answer> handle_set_attributes(Server& server, const Caller& caller,
                                   wire::SetAttributes request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  const bool times = (request.valid & (wire::valid_accessed | wire::valid_modified |
                                       wire::valid_accessed_now | wire::valid_modified_now)) != 0;
  if (inode->open != nullptr) {  // the writers' sizes and times count up to here
    const std::uint64_t number = inode->number;
    const Status known = co_await refresh(server, number, times);
    if (!known.ok()) co_return Answer(known.error());
    inode = server.names.find(number);
  }
  if (caller.uid != 0) {
    if ((request.valid & wire::valid_uid) != 0 && request.uid != inode->uid)
      co_return Answer(Error(EPERM));
    if ((request.valid & wire::valid_gid) != 0 && request.gid != inode->gid &&
        request.gid != ::getegid())
      co_return Answer(Error(EPERM));
  }
  const std::int64_t time = now();
  Inode& changed = server.names.change(*inode);
  if ((request.valid & wire::valid_mode) != 0) {
    if (changed.is_symlink()) co_return Answer(Error(EOPNOTSUPP));
    changed.mode = changed.type() | (request.mode & 07777);
  }
  if ((request.valid & wire::valid_uid) != 0) changed.uid = request.uid;
  if ((request.valid & wire::valid_gid) != 0) changed.gid = request.gid;
  if ((request.valid & wire::valid_accessed) != 0) changed.accessed = request.accessed;
  if ((request.valid & wire::valid_modified) != 0) changed.modified = request.modified;
  if ((request.valid & wire::valid_accessed_now) != 0) changed.accessed = time;
  if ((request.valid & wire::valid_modified_now) != 0) changed.modified = time;
  changed.changed = time;
  co_return Answer(attributes_of(changed));
}

}  // namespace benchfs
