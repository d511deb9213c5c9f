// The walk along a path, as far as this rank holds it.
#include <unistd.h>

#include "common/placement.h"
#include "daemon/metadata/namespace.h"

namespace benchfs {
namespace {

struct Component {
  std::string_view name;
  std::size_t end;  // offset in the path just after it
};

Walked ended_in_dots(const Inode& here) {
  Walked walked;
  walked.found = true;
  walked.entry = {here.number, S_IFDIR};
  walked.inode = &here;
  walked.wants_directory = true;
  walked.ended_in_dots = true;
  return walked;
}

// The next component from `offset` on; an empty name at the end of the path.
Component next_component(std::string_view path, std::size_t offset) {
  while (offset < path.size() && path[offset] == '/') ++offset;
  std::size_t end = offset;
  while (end < path.size() && path[end] != '/') ++end;
  return {path.substr(offset, end - offset), end};
}

}  // namespace

Walk Namespace::walk(const wire::Where& where, std::string_view path, std::uint32_t uid,
                     bool to_name, const WalkedOntoLock* turn, std::vector<Passed>* passed) {
  const auto pass = [passed](std::uint64_t inode, std::string_view name) {
    if (passed != nullptr) passed->push_back({.inode = inode, .name = name});
  };
  if (!valid_inode(where.inode, ranks_)) return Error(ESTALE);
  const Inode* here = find(where.inode);
  if (here == nullptr) return Error(ENOENT);
  show(*here);
  pass(here->number, {});
  Walked walked;
  walked.inode = here;
  walked.found = true;
  walked.entry = {here->number, here->type()};
  walked.wants_directory = !path.empty() && path.back() == '/';
  const auto waits = [&](std::uint64_t inode, std::string_view name) {
    const bool ours = turn != nullptr && turn->directory == inode && turn->name == name;
    return !ours && locks_.locked(inode, name);
  };

  Component component = next_component(path, 0);
  while (!component.name.empty()) {
    const Component after = next_component(path, component.end);
    const bool last = after.name.empty();
    if (!here->is_directory()) return Error(ENOTDIR);
    if (!permits(*here, uid, X_OK)) return Error(EACCES);
    if (component.name.size() > wire::name_bytes_max) return Error(ENAMETOOLONG);
    const auto consumed = static_cast<std::uint32_t>(component.end);

    if (component.name == ".") {
      walked = ended_in_dots(*here);
      component = after;
      continue;
    }
    if (component.name == "..") {
      if (here->number == root_inode)
        return WalkedAway{{here->number, consumed, wire::RedirectKind::above}, {}};
      if (waits(here->number, {})) return WalkedOntoLock{here->number, {}};  // it may be moving
      const std::uint64_t parent = here->directory->parent;
      if (last && to_name) {  // no name: all that is to be known of it
        walked = Walked{};
        walked.found = true;
        walked.entry = {parent, S_IFDIR};
        walked.wants_directory = true;
        walked.ended_in_dots = true;
        return walked;
      }
      if (home_rank(parent) != rank_)
        return WalkedAway{{parent, consumed, wire::RedirectKind::moved}, {}};
      here = find(parent);
      if (here == nullptr) return Error(ENOENT);
      walked = ended_in_dots(*here);
      component = after;
      continue;
    }

    const Partition::Place place = here->directory->place_of(here->number, component.name);
    if (place.inode != 0) {
      const wire::PartHint hint{
          .directory = here->directory->whole(here->number), .depth = place.depth, .reserved = 0};
      const auto before = consumed - static_cast<std::uint32_t>(component.name.size());
      return WalkedAway{{place.inode, before, wire::RedirectKind::part},
                        std::string(reinterpret_cast<const char*>(&hint), sizeof hint)};
    }
    if (waits(here->number, component.name))
      return WalkedOntoLock{here->number, std::string(component.name)};
    const Entry* const found = entry(*here, component.name);
    if (found != nullptr) show(here->number, component.name, *found);
    if (found == nullptr && !last) show_missing(*here, component.name);
    pass(here->number, component.name);
    walked = Walked{};
    walked.directory = here;
    walked.name = component.name;
    walked.found = found != nullptr;
    walked.wants_directory = path.back() == '/';
    if (last && to_name) {
      if (found == nullptr) return walked;
      walked.entry = *found;
      walked.inode = home_rank(found->inode) == rank_ ? find(found->inode) : nullptr;
      return walked;
    }
    if (found == nullptr) {
      if (!last) return Error(ENOENT);
      return walked;
    }
    walked.entry = *found;
    const bool at_home = home_rank(found->inode) == rank_;
    if (found->type == S_IFLNK &&
        (!last || walked.wants_directory || (where.flags & wire::WhereFlag::follow) != 0)) {
      // A target is seen from the directory, not from a part of it.
      const std::uint64_t whole = here->directory->whole(here->number);
      if (!at_home) return WalkedOntoForeignLink{whole, found->inode, consumed};
      const Inode* const link = find(found->inode);
      if (link == nullptr) return Error(ENOENT);
      note_access(*link);
      return WalkedAway{{whole, consumed, wire::RedirectKind::symlink}, *link->target};
    }
    if (!last && found->type != S_IFDIR) return Error(ENOTDIR);
    if (!at_home) return WalkedAway{{found->inode, consumed, wire::RedirectKind::moved}, {}};
    walked.inode = find(found->inode);
    if (walked.inode == nullptr) return Error(ENOENT);
    show(*walked.inode);
    pass(walked.inode->number, {});
    here = walked.inode;
    if (last) break;
    component = after;
  }
  if (walked.inode != nullptr && !walked.inode->is_directory() &&
      (walked.wants_directory || (where.flags & wire::WhereFlag::directory) != 0))
    return Error(ENOTDIR);
  if (walked.inode != nullptr && waits(walked.inode->number, {}))
    return WalkedOntoLock{walked.inode->number, {}};
  return walked;
}

}  // namespace benchfs
