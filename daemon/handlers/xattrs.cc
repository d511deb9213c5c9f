#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

constexpr std::string_view kept_prefix = "user.";

// Clients send no other names; what they answer themselves for others is not repeated here.
Result<std::string_view> name_in(Tail tail, const wire::Where& where, std::uint64_t bytes) {
  TRY(const std::string_view name, wire::text(tail, where.path_bytes, bytes));
  if (name.size() > wire::name_bytes_max) return Error(ERANGE);
  if (!name.starts_with(kept_prefix)) return Error(EOPNOTSUPP);
  if (name.size() == kept_prefix.size() || name.find('\0') != std::string_view::npos)
    return Error(EINVAL);
  return name;
}

// user.* is for what has content of its own: files and directories.
Status may_access(const Inode& inode, std::uint32_t uid, bool writes) {
  if (inode.type() != S_IFREG && !inode.is_directory()) return Error(writes ? EPERM : ENODATA);
  if (!permits(inode, uid, writes ? W_OK : R_OK)) return Error(EACCES);
  return Done{};
}

Answer deliver(std::string_view bytes, std::uint32_t room, std::span<std::byte> out) {
  if (room != 0) {
    if (bytes.size() > room) return Answer(Error(ERANGE));
    if (bytes.size() > out.size()) return Answer(Error(EINVAL));
    std::ranges::copy(wire::bytes_of(bytes), out.begin());
  }
  return Answer(wire::XattrReply{.bytes = bytes.size()});
}

}  // namespace

Task<Answer> handle_get_xattr(Server& server, const Caller& caller, wire::GetXattr request,
                              Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  const auto name = name_in(tail, request.where, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  const Status allowed = may_access(*inode, caller.uid, false);
  if (!allowed.ok()) co_return Answer(allowed.error());
  const std::string* const value = inode->xattrs == nullptr ? nullptr : inode->xattrs->find(*name);
  if (value == nullptr) co_return Answer(Error(ENODATA));
  co_return deliver(*value, request.bytes, caller.bulk);
}

Task<Answer> handle_list_xattrs(Server& server, const Caller& caller, wire::ListXattrs request,
                                Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->xattrs == nullptr) co_return Answer(wire::XattrReply{.bytes = 0});
  co_return deliver(inode->xattrs->list(), request.bytes, caller.bulk);
}

Task<Answer> handle_set_xattr(Server& server, const Caller& caller, wire::SetXattr request,
                              Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  const auto name = name_in(tail, request.where, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  if ((request.flags & ~std::uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0)
    co_return Answer(Error(EINVAL));
  if (request.bytes > wire::xattr_bytes_max) co_return Answer(Error(E2BIG));
  if (request.bytes > caller.bulk.size()) co_return Answer(Error(EINVAL));
  const Status allowed = may_access(*inode, caller.uid, true);
  if (!allowed.ok()) co_return Answer(allowed.error());
  // What is given up on failure was made for it.
  auto made = inode->xattrs == nullptr ? std::make_unique<Xattrs>() : nullptr;
  Xattrs& xattrs = made != nullptr ? *made : *inode->xattrs;
  const std::string_view value(reinterpret_cast<const char*>(caller.bulk.data()), request.bytes);
  const Status set = xattrs.set(*name, value, request.flags);
  if (!set.ok()) co_return Answer(set.error());
  Inode& changed = server.names.change(*inode);
  if (made != nullptr) changed.xattrs = std::move(made);
  changed.changed = now();
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_remove_xattr(Server& server, const Caller& caller, wire::RemoveXattr request,
                                 Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  const auto name = name_in(tail, request.where, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  const Status allowed = may_access(*inode, caller.uid, true);
  if (!allowed.ok()) co_return Answer(allowed.error());
  if (inode->xattrs == nullptr) co_return Answer(Error(ENODATA));
  const Status removed = inode->xattrs->remove(*name);
  if (!removed.ok()) co_return Answer(removed.error());
  Inode& changed = server.names.change(*inode);
  if (changed.xattrs->empty()) changed.xattrs.reset();
  changed.changed = now();
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
