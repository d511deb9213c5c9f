#include <array>

#include "daemon/handlers/handlers.h"
#include "daemon/rpc/server.h"

namespace benchfs {
namespace {

Task<Answer> refuse(Error error) { co_return Answer(error); }

template <wire::Message Request, auto handler>
Task<Answer> run(Server& server, const Caller& caller, std::span<const std::byte> body) {
  const auto request = wire::parse<Request>(body);
  if (!request.ok()) return refuse(request.error());
  return handler(server, caller, *request, body.subspan(sizeof(Request)));
}

template <wire::Message Request, auto handler>
constexpr Route client_route(Effect effect = Effect::none) {
  return {Request::op, true, effect, run<Request, handler>};
}
template <wire::Message Request, auto handler>
constexpr Route server_route(Effect effect = Effect::none) {
  return {Request::op, false, effect, run<Request, handler>};
}

constexpr Route routes[] = {
    client_route<wire::Stat, handle_stat>(),
    client_route<wire::Open, handle_open>(Effect::change),
    server_route<wire::Release, handle_release>(),
    client_route<wire::MakeDirectory, handle_make_directory>(Effect::change),
    client_route<wire::RemoveDirectory, handle_remove_directory>(Effect::free),
    client_route<wire::Unlink, handle_unlink>(Effect::free),
    client_route<wire::Rename, handle_rename>(Effect::change),
    client_route<wire::Symlink, handle_symlink>(Effect::change),
    client_route<wire::ReadLink, handle_read_link>(),
    client_route<wire::Link, handle_link>(Effect::change),
    client_route<wire::SetAttributes, handle_set_attributes>(Effect::change),
    client_route<wire::List, handle_list>(),
    client_route<wire::NameOf, handle_name_of>(),
    client_route<wire::Resolve, handle_resolve>(),
    client_route<wire::Size, handle_size>(),
    client_route<wire::Truncate, handle_truncate>(Effect::free),
    client_route<wire::Reserve, handle_reserve>(Effect::change),
    client_route<wire::ReadChunk, handle_read_chunk>(),
    client_route<wire::WriteChunk, handle_write_chunk>(),
    client_route<wire::SyncChunks, handle_sync_chunks>(),
    client_route<wire::MoveToChunks, handle_move_to_chunks>(Effect::change),
    client_route<wire::SyncInode, handle_sync_inode>(Effect::free),
    client_route<wire::GetXattr, handle_get_xattr>(),
    client_route<wire::SetXattr, handle_set_xattr>(Effect::change),
    client_route<wire::ListXattrs, handle_list_xattrs>(),
    client_route<wire::RemoveXattr, handle_remove_xattr>(Effect::free),
    client_route<wire::FileSystemInfo, handle_file_system>(),
    client_route<wire::StatusRequest, handle_status>(),
    client_route<wire::Stop, handle_stop>(),
    server_route<wire::Freeze, handle_freeze>(),
    server_route<wire::Thaw, handle_thaw>(),
    server_route<wire::HostSize, handle_host_size>(),
    server_route<wire::RevokeExact, handle_revoke_exact>(),
    server_route<wire::CutChunks, handle_cut_chunks>(),
    server_route<wire::HeldOpens, handle_held_opens>(),
    server_route<wire::Prepare, handle_prepare>(Effect::free),
    server_route<wire::Decide, handle_decide>(),
    server_route<wire::Outcome, handle_outcome>(),
    server_route<wire::CountBlocks, handle_count_blocks>(),
    server_route<wire::RenameTicket, handle_rename_ticket>(),
    server_route<wire::Lock, handle_lock>(),
    server_route<wire::AwaitLock, handle_await_lock>(),
    server_route<wire::AskLockOwner, handle_lock_owner>(),
    server_route<wire::LockBlockers, handle_lock_blockers>(),
    server_route<wire::AskHeldLocks, handle_held_locks>(),
    server_route<wire::RecallLeases, handle_recall_leases>(),
    client_route<wire::CheckState, handle_check_state>(),
    client_route<wire::CheckInodes, handle_check_inodes>(),
    client_route<wire::CheckEntries, handle_check_entries>(),
    client_route<wire::CheckChunks, handle_check_chunks>(),
    server_route<wire::FillPart, handle_fill_part>(Effect::change),
    server_route<wire::PartStatus, handle_part_status>(),
    server_route<wire::PartAttributes, handle_part_attributes>(Effect::change),
    server_route<wire::PartsOf, handle_parts_of>(),
};

constexpr std::size_t ops_max = 128;
constexpr auto by_op = [] {
  std::array<const Route*, ops_max> table{};
  for (const Route& route : routes) table[static_cast<std::size_t>(route.op)] = &route;
  return table;
}();

}  // namespace

const Route* find_route(wire::Op op) {
  const auto index = static_cast<std::size_t>(op);
  return index < ops_max ? by_op[index] : nullptr;
}

}  // namespace benchfs
