#include "daemon/transaction/steps.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/placement.h"
#include "daemon/handlers/common.h"

namespace benchfs {
namespace {

int entry_error(const Server& server, const Step& step, std::uint32_t uid, Entry* found) {
  const Inode* const directory = server.names.find(step.inode);
  if (directory == nullptr || directory->is_removed()) return ENOENT;
  if (!directory->is_directory()) return ENOTDIR;
  if (!directory->directory->has_place_for(step.inode, step.name)) return ESTALE;  // split since
  const Entry* const entry = server.names.entry(*directory, step.name);
  *found = entry != nullptr ? *entry : Entry{.inode = 0, .type = 0};
  if (found->inode != step.holds) return EAGAIN;
  return permits(*directory, uid, W_OK | X_OK) ? 0 : EACCES;
}

int links_error(const Inode* inode, std::int32_t links) {
  if (inode == nullptr) return ENOENT;
  if (inode->is_directory()) return EPERM;
  if (links > 0 && !inode->may_be_named()) return ENOENT;
  return 0;
}

int removal_error(const Inode* inode, const Step& step, Entry* found) {
  if (inode == nullptr || inode->is_removed()) return ENOENT;
  if (!inode->is_directory()) return ENOTDIR;
  if (inode->number == root_inode) return EBUSY;
  if (!inode->directory->entries.empty()) return ENOTEMPTY;
  if (inode->directory->parts() == step.holds) return 0;
  *found = Entry{.inode = inode->number, .type = S_IFDIR};
  return EAGAIN;
}

int split_error(const Inode* inode, const Step& step) {
  if (inode == nullptr || !inode->is_directory()) return ENOENT;
  if (step.kind == wire::StepKind::add_part) return inode->directory->is_part() ? EINVAL : 0;
  const Partition whole;
  const Partition* const partition = inode->directory->partition.get();
  const Partition& now = partition != nullptr ? *partition : whole;
  return step.holds == now.middle() && step.holds > now.low ? 0 : EAGAIN;
}

int move_error(const Inode* inode, const Step& step, std::uint32_t uid) {
  if (inode == nullptr || inode->is_removed()) return ENOENT;
  if (!inode->is_directory()) return ENOTDIR;
  if (inode->number == root_inode) return EBUSY;
  const bool new_parent = inode->directory->parent != step.value;  // its ".." is written
  return new_parent && !permits(*inode, uid, W_OK) ? EACCES : 0;
}

void unpin(Server& server, std::uint64_t number) {
  const auto pin = server.pinned.find(number);
  if (pin != server.pinned.end() && --pin->second == 0) server.pinned.erase(pin);
}

}  // namespace

Task<int> lock_all(Server& server, std::vector<LockKey> keys, std::vector<LockKey>* taken,
                   Patience patience) {
  for (LockKey& key : keys) {
    int locked = -somebody_waits;
    if (patience == Patience::patient || server.names.locks().is_free(key))
      locked = co_await server.names.lock(server.loop, key);
    if (locked != 0) {
      unlock_all(server, *taken);
      co_return locked;
    }
    taken->push_back(std::move(key));
  }
  co_return 0;
}

void unlock_all(Server& server, std::vector<LockKey>& taken) {
  for (const LockKey& key : taken) server.names.unlock(key.inode, key.name);
  taken.clear();
}

std::optional<Objection> object(Server& server, std::span<const Step> steps, std::uint32_t uid) {
  Objection objection;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (step.rank != server.topology.rank) continue;
    const Inode* const inode = server.names.find(step.inode);
    int error = 0;
    switch (step.kind) {
      case wire::StepKind::set_entry:
        error = entry_error(server, step, uid, &objection.found);
        break;
      case wire::StepKind::add_links:
        error = links_error(inode, step.links);
        break;
      case wire::StepKind::make_directory:
        break;
      case wire::StepKind::remove_directory:
        error = removal_error(inode, step, &objection.found);
        break;
      case wire::StepKind::move_directory:
        error = move_error(inode, step, uid);
        break;
      case wire::StepKind::make_part:
        error = server.splitter.has_draft(step.inode) ? 0 : ESTALE;
        break;
      case wire::StepKind::split_off:
      case wire::StepKind::add_part:
        error = split_error(inode, step);
        break;
    }
    if (error == 0) continue;
    objection.error = error;
    objection.step = i;
    return objection;
  }
  return {};
}

Status hold(Server& server, std::span<Step> steps) {
  for (Step& step : steps) {
    if (step.rank != server.topology.rank) continue;
    if (step.kind == wire::StepKind::add_links) ++server.pinned[step.inode];
    if (step.kind == wire::StepKind::make_part && server.names.find(step.inode) == nullptr) {
      const Status made = server.splitter.make_part(step.inode);
      if (!made.ok()) {
        let_go(server, steps.first(static_cast<std::size_t>(&step - steps.data())));
        return made.error();
      }
    }
    if (step.kind != wire::StepKind::make_directory || step.inode != 0) continue;
    const auto made = server.names.make_directory(S_IFDIR | (step.type & 07777), server.owner,
                                                  step.gid, step.value, step.name);
    if (!made.ok()) {
      let_go(server, steps.first(static_cast<std::size_t>(&step - steps.data())));
      return made.error();
    }
    step.inode = (*made)->number;
  }
  return Done{};
}

void apply(Server& server, std::span<const Step> steps, std::int64_t time) {
  for (const Step& step : steps)
    if (step.rank == server.topology.rank && step.kind == wire::StepKind::set_entry)
      server.names.hide(step.inode, step.name);
  for (const Step& step : steps) {
    if (step.rank != server.topology.rank) continue;
    if (makes_inode(step)) continue;  // it exists
    if (step.kind == wire::StepKind::remove_directory) {
      server.names.remove_directory(step.inode, time);
      continue;
    }
    if (step.kind == wire::StepKind::split_off || step.kind == wire::StepKind::add_part) {
      const Inode* const inode = server.names.find(step.inode);
      if (inode == nullptr || !inode->is_directory()) continue;
      const Partition::Later part{
          .low = step.holds, .inode = step.value, .depth = step.type, .reserved = 0};
      if (step.kind == wire::StepKind::split_off)
        server.names.split_off(*inode, part);
      else
        server.names.add_part(*inode, part);
      continue;
    }
    if (step.kind == wire::StepKind::set_entry) {
      const Inode* const directory = server.names.find(step.inode);
      if (directory != nullptr && directory->is_directory())
        server.names.set(*directory, step.name, {step.value, step.type}, time);
      continue;
    }
    if (step.kind == wire::StepKind::add_links) unpin(server, step.inode);
    Inode* const inode = server.names.change(step.inode);
    if (inode == nullptr) continue;
    inode->changed = std::max(inode->changed, time);
    if (step.kind == wire::StepKind::move_directory) {
      inode->directory->parent = step.value;
      inode->directory->name = step.name;
    } else {
      inode->links = static_cast<std::uint32_t>(
          std::max<std::int64_t>(std::int64_t{inode->links} + step.links, 0));
      if (step.links > 0) inode->flags &= ~std::uint32_t{InodeFlag::unnamed};
      remove_if_unused(server, *inode);
    }
  }
}

void let_go(Server& server, std::span<const Step> steps) {
  for (const Step& step : steps) {
    if (step.rank != server.topology.rank) continue;
    if (makes_inode(step) && step.inode != 0 && server.names.find(step.inode) != nullptr)
      server.names.erase(step.inode);
    if (step.kind != wire::StepKind::add_links) continue;
    unpin(server, step.inode);
    const Inode* const inode = server.names.find(step.inode);
    if (inode != nullptr) remove_if_unused(server, *inode);
  }
}

wire::Attributes concerned(const Server& server, std::span<const Step> steps) {
  for (const Step& step : steps) {
    if (step.rank != server.topology.rank) continue;
    if (step.kind != wire::StepKind::make_directory && step.kind != wire::StepKind::add_links)
      continue;
    const Inode* const inode = server.names.find(step.inode);
    if (inode != nullptr) return attributes_of(*inode);
  }
  return {};
}

}  // namespace benchfs
