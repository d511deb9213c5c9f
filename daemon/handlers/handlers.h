// One handler per operation; the table that names them is rpc/routes.cc. `tail` is what follows the
// struct in the body and stays valid until the task is done. All return errnos as Linux would.
#pragma once

#include <optional>

#include "daemon/rpc/server.h"

namespace benchfs {

using Tail = std::span<const std::byte>;

// lookup.cc
Task<Answer> handle_stat(Server&, const Caller&, wire::Stat, Tail);
Task<Answer> handle_resolve(Server&, const Caller&, wire::Resolve, Tail);
Task<Answer> handle_read_link(Server&, const Caller&, wire::ReadLink, Tail);
Task<Answer> handle_list(Server&, const Caller&, wire::List, Tail);
Task<Answer> handle_name_of(Server&, const Caller&, wire::NameOf, Tail);
// create.cc
Task<Answer> handle_make_directory(Server&, const Caller&, wire::MakeDirectory, Tail);
Task<Answer> handle_symlink(Server&, const Caller&, wire::Symlink, Tail);
Task<Answer> handle_link(Server&, const Caller&, wire::Link, Tail);
// open.cc
Task<Answer> handle_open(Server&, const Caller&, wire::Open, Tail);
// An open that comes again, and was answered with `known`.
Task<Answer> open_again(Server&, const Caller&, Tail body, Answer known);
Task<Answer> handle_release(Server&, const Caller&, wire::Release, Tail);
// The same without the content of a small file, of this rank's own host. Nothing: it has to wait.
// Who calls it shows and commits the changes.
std::optional<wire::ReleaseReply> release_at_once(Server&, std::uint32_t host,
                                                  const wire::Release&);
Task<Answer> handle_revoke_exact(Server&, const Caller&, wire::RevokeExact, Tail);
// open_state.cc
Task<Answer> handle_held_opens(Server&, const Caller&, wire::HeldOpens, Tail);
// remove.cc
Task<Answer> handle_remove_directory(Server&, const Caller&, wire::RemoveDirectory, Tail);
Task<Answer> handle_unlink(Server&, const Caller&, wire::Unlink, Tail);
// rename.cc
Task<Answer> handle_rename(Server&, const Caller&, wire::Rename, Tail);
// transaction.cc
Task<Answer> handle_prepare(Server&, const Caller&, wire::Prepare, Tail);
Task<Answer> handle_decide(Server&, const Caller&, wire::Decide, Tail);
Task<Answer> handle_outcome(Server&, const Caller&, wire::Outcome, Tail);
Task<Answer> handle_rename_ticket(Server&, const Caller&, wire::RenameTicket, Tail);
// parts.cc
Task<Answer> handle_fill_part(Server&, const Caller&, wire::FillPart, Tail);
Task<Answer> handle_part_status(Server&, const Caller&, wire::PartStatus, Tail);
Task<Answer> handle_part_attributes(Server&, const Caller&, wire::PartAttributes, Tail);
Task<Answer> handle_parts_of(Server&, const Caller&, wire::PartsOf, Tail);
// attributes.cc
Task<Answer> handle_set_attributes(Server&, const Caller&, wire::SetAttributes, Tail);
// xattrs.cc
Task<Answer> handle_get_xattr(Server&, const Caller&, wire::GetXattr, Tail);
Task<Answer> handle_set_xattr(Server&, const Caller&, wire::SetXattr, Tail);
Task<Answer> handle_list_xattrs(Server&, const Caller&, wire::ListXattrs, Tail);
Task<Answer> handle_remove_xattr(Server&, const Caller&, wire::RemoveXattr, Tail);
// blocks.cc
Task<Answer> handle_count_blocks(Server&, const Caller&, wire::CountBlocks, Tail);
// size.cc
Task<Answer> handle_size(Server&, const Caller&, wire::Size, Tail);
Task<Answer> handle_truncate(Server&, const Caller&, wire::Truncate, Tail);
Task<Answer> handle_reserve(Server&, const Caller&, wire::Reserve, Tail);
Task<Answer> handle_freeze(Server&, const Caller&, wire::Freeze, Tail);
Task<Answer> handle_thaw(Server&, const Caller&, wire::Thaw, Tail);
Task<Answer> handle_host_size(Server&, const Caller&, wire::HostSize, Tail);
// leases.cc
Task<Answer> handle_recall_leases(Server&, const Caller&, wire::RecallLeases, Tail);
// contents.cc
Task<Answer> handle_move_to_chunks(Server&, const Caller&, wire::MoveToChunks, Tail);
// sync.cc
Task<Answer> handle_sync_inode(Server&, const Caller&, wire::SyncInode, Tail);
// data.cc
Task<Answer> handle_read_chunk(Server&, const Caller&, wire::ReadChunk, Tail);
Task<Answer> handle_write_chunk(Server&, const Caller&, wire::WriteChunk, Tail);
Task<Answer> handle_sync_chunks(Server&, const Caller&, wire::SyncChunks, Tail);
Task<Answer> handle_cut_chunks(Server&, const Caller&, wire::CutChunks, Tail);
// locks.cc, deadlock.cc
Task<Answer> handle_lock(Server&, const Caller&, wire::Lock, Tail);
Task<Answer> handle_await_lock(Server&, const Caller&, wire::AwaitLock, Tail);
Task<Answer> handle_lock_owner(Server&, const Caller&, wire::AskLockOwner, Tail);
Task<Answer> handle_held_locks(Server&, const Caller&, wire::AskHeldLocks, Tail);
Task<Answer> handle_lock_blockers(Server&, const Caller&, wire::LockBlockers, Tail);
// instance.cc
Task<Answer> handle_file_system(Server&, const Caller&, wire::FileSystemInfo, Tail);
Task<Answer> handle_status(Server&, const Caller&, wire::StatusRequest, Tail);
Task<Answer> handle_stop(Server&, const Caller&, wire::Stop, Tail);
// fsck.cc
Task<Answer> handle_check_state(Server&, const Caller&, wire::CheckState, Tail);
Task<Answer> handle_check_inodes(Server&, const Caller&, wire::CheckInodes, Tail);
Task<Answer> handle_check_entries(Server&, const Caller&, wire::CheckEntries, Tail);
Task<Answer> handle_check_chunks(Server&, const Caller&, wire::CheckChunks, Tail);

}  // namespace benchfs
