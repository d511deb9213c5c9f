#include "client-preload/fs/view_walk.h"

#include <sys/stat.h>

#include <algorithm>

#include "client-preload/fs/core.h"
#include "common/placement.h"

namespace benchfs {
namespace {

// As the servers decide for the user who connected.
bool may_search(const ViewInode& directory, std::uint32_t uid) {
  return S_ISDIR(directory.mode) && (uid == 0 || (directory.mode & S_IXUSR) != 0);
}

// None while other hosts write it, when it has holes or is in parts: its home knows or asks.
std::optional<wire::Attributes> complete(Core& core, const ViewInode& shown) {
  if (shown.is_split()) return {};
  wire::Attributes attributes{.inode = shown.inode,
                              .size = shown.size(),
                              .blocks = 0,
                              .mode = shown.mode,
                              .links = shown.links,
                              .uid = shown.uid,
                              .gid = shown.gid,
                              .accessed = shown.accessed,
                              .modified = shown.modified,
                              .changed = shown.changed,
                              .born = 0};
  if (shown.elsewhere != Elsewhere::nothing_elsewhere) {
    const HostSize here = core.descriptors.host_size(shown.inode);
    attributes.accessed = std::max(attributes.accessed, here.accessed);
    if (shown.elsewhere == Elsewhere::written_here) {
      if (!here.exact || here.sparse) return {};
      attributes.size = here.size;
      attributes.modified = std::max(attributes.modified, here.modified);
      attributes.changed = std::max(attributes.changed, here.modified);
    }
  } else {
    add_access_here(core, attributes);
  }
  attributes.blocks = wire::blocks_of(attributes.mode, attributes.size);
  return attributes;
}

// What a name in a directory leads to; inode 0: there is none. None: it is to be asked for.
std::optional<ViewEntry> shown_entry(Core& core, const ViewInode& directory,
                                     std::string_view name) {
  if (!may_search(directory, core.host.uid()) || name.size() > wire::name_bytes_max) return {};
  std::uint64_t holder = directory.inode;
  if (directory.is_split()) {
    const std::uint64_t cookie = entry_cookie(directory.inode, name);
    if (!directory.has(cookie)) {
      holder = core.parts.find(directory.inode, name);
      if (holder == directory.inode) return {};
      const auto part = shown_inode(core, holder);
      if (!part.has_value() || !part->is_split() || !part->has(cookie)) return {};
    }
  }
  return core.host.in_view(home_rank(holder),
                           [&](const HostView& view) { return view.entry(holder, name); });
}

}  // namespace

// A read by this host counts if the file was not read since its last change.
void add_access_here(Core& core, wire::Attributes& attributes) {
  if (!S_ISREG(attributes.mode) ||
      kept_access(attributes.accessed, attributes.modified, attributes.changed) != 0 ||
      !core.host.table().may_be_open(attributes.inode))
    return;
  const HostSize here = core.descriptors.host_size(attributes.inode);
  attributes.accessed = std::max(attributes.accessed, here.accessed);
}

std::optional<ViewInode> shown_inode(Core& core, std::uint64_t inode) {
  return core.host.in_view(home_rank(inode),
                           [inode](const HostView& view) { return view.inode(inode); });
}

std::optional<wire::Attributes> view_attributes(Core& core, std::uint64_t inode) {
  const auto here = shown_inode(core, inode);
  if (!here.has_value()) return {};
  return complete(core, *here);
}

Begun walk_in_view(Core& core, std::uint64_t inode, std::string_view text) {
  Begun begun{.inode = inode, .text = text};
  while (true) {
    std::string_view rest = begun.text;
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    if (rest.empty() || name == "." || name == "..") return begun;
    const auto here = shown_inode(core, begun.inode);
    if (!here.has_value()) return begun;
    const auto entry = shown_entry(core, *here, name);
    if (!entry.has_value() || entry->inode == 0 || !S_ISDIR(entry->type)) return begun;
    begun = {.inode = entry->inode, .text = rest};
  }
}

std::optional<Result<wire::Attributes>> view_attributes(Core& core, const Path& path, bool follow) {
  auto here = shown_inode(core, path.inode);
  std::string_view rest = path.text;
  while (here.has_value()) {
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    if (rest.empty()) {
      const auto attributes = complete(core, *here);
      if (!attributes.has_value()) return {};
      return *attributes;
    }
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    if (name == ".." || !may_search(*here, core.host.uid())) return {};
    if (name == ".") continue;
    const auto entry = shown_entry(core, *here, name);
    if (!entry.has_value()) return {};
    if (entry->inode == 0) return Error(ENOENT);
    if (S_ISLNK(entry->type) && (follow || !rest.empty())) return {};
    if (!S_ISDIR(entry->type) && !rest.empty()) return {};
    here = shown_inode(core, entry->inode);
  }
  return {};
}

}  // namespace benchfs
