// What `benchfs fsck` reads, in pages of one message each: a page costs little however large the
// file system is, and goes on at a cursor whatever changed meanwhile.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "common/fd.h"
#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

// Counters looked at for one page: most may be of files that are gone.
constexpr std::uint64_t counters_per_page = 1 << 14;

bool fits(const Answer& answer, std::size_t bytes) {
  return answer.body.size() + bytes <= wire::body_bytes_max;
}

template <wire::Struct Head>
void set_head(Answer& answer, const Head& head) {
  std::memcpy(answer.body.data(), &head, sizeof head);
}

// "inode_<number>_chunk_<index>", written as chunk_name() writes it.
std::optional<ChunkId> chunk_of(std::string_view name) {
  constexpr std::string_view before = "inode_";
  constexpr std::string_view between = "_chunk_";
  if (!name.starts_with(before)) return {};
  const std::size_t middle = name.find(between, before.size());
  if (middle == std::string_view::npos) return {};
  ChunkId id{};
  std::from_chars(name.data() + before.size(), name.data() + middle, id.inode);
  std::from_chars(name.data() + middle + between.size(), name.data() + name.size(), id.index);
  if (chunk_name(id) != name) return {};
  return id;
}

// What a directory that was split, or a part of one, holds.
wire::CheckedInode part_row(const Inode& inode) {
  const Directory& directory = *inode.directory;
  return {.inode = directory.whole(inode.number),
          .size = directory.partition->low,
          .parent = directory.partition->high,
          .mode = inode.mode,
          .links = directory.is_part() ? directory.subdirectories : 0,
          .open = wire::checked_part,
          .name_bytes = 0,
          .small = 0};
}

}  // namespace

Task<Answer> handle_check_state(Server& server, const Caller&, wire::CheckState, Tail) {
  const auto [directory, name] = server.names.locks().any();
  const std::uint64_t under_way = server.coordinator.size() + server.participant.size() +
                                  (server.rename_ticket.held(0) != 0 ? 1 : 0);
  Answer answer(wire::CheckStateReply{.changes = server.names.changes(),
                                      .removals = server.removals,
                                      .transactions = under_way,
                                      .locked_names = server.names.locks().count(),
                                      .locked_directory = directory,
                                      .chunk_bytes = server.config.storage.chunk_size});
  answer.append(name.substr(0, wire::name_bytes_max));
  co_return answer;
}

Task<Answer> handle_check_inodes(Server& server, const Caller&, wire::CheckInodes request, Tail) {
  const std::uint64_t end = server.names.counter_end();
  const std::uint64_t first = std::clamp<std::uint64_t>(request.counter, 1, end);
  const std::uint64_t last = std::min(end, first + counters_per_page);
  wire::CheckInodesReply head{.next = last == end ? 0 : last, .inodes = 0};
  Answer answer(head);
  for (std::uint64_t counter = first; counter < last; ++counter) {
    const Inode* const inode = server.names.find(make_inode(server.topology.rank, counter));
    if (inode == nullptr || inode->is_removed()) continue;
    const wire::Attributes attributes = attributes_of(*inode);
    const std::string_view name =
        inode->is_directory() ? inode->directory->name : std::string_view();
    const wire::CheckedInode row{
        .inode = inode->number,
        .size = attributes.size,
        .parent = inode->is_directory() ? inode->directory->parent : 0,
        .mode = attributes.mode,
        .links = attributes.links,
        .open = inode->open != nullptr && !inode->open->hosts.empty() ? 1u : 0u,
        .name_bytes = static_cast<std::uint32_t>(name.size()),
        .small = inode->is_small() && inode->chunked_bytes() == 0 ? 1u : 0u};
    if (!fits(answer, 2 * sizeof row + name.size())) {
      head.next = counter;
      break;
    }
    if (inode->is_split()) {
      answer.append(wire::bytes_of(part_row(*inode)));
      ++head.inodes;
      if (inode->directory->is_part()) continue;
    }
    answer.append(wire::bytes_of(row));
    answer.append(name);
    ++head.inodes;
  }
  set_head(answer, head);
  co_return answer;
}

Task<Answer> handle_check_entries(Server& server, const Caller&, wire::CheckEntries request,
                                  Tail tail) {
  const auto after = wire::text(tail, 0, request.name_bytes);
  if (!after.ok()) co_return Answer(after.error());
  const std::uint64_t end = server.names.counter_end();
  const std::uint64_t first = std::clamp<std::uint64_t>(request.counter, 1, end);
  const std::uint64_t last = std::min(end, first + counters_per_page);
  wire::CheckEntriesReply head{.next = last == end ? 0 : last, .entries = 0};
  Answer answer(head);
  bool full = false;
  for (std::uint64_t counter = first; counter < last && !full; ++counter) {
    const Inode* const inode = server.names.find(make_inode(server.topology.rank, counter));
    if (inode == nullptr || !inode->is_directory()) continue;
    const auto& entries = inode->directory->entries;
    auto it = counter == request.counter ? entries.upper_bound(EntryKeyView{request.cookie, *after})
                                         : entries.begin();
    for (; it != entries.end(); ++it) {
      const auto& [key, entry] = *it;
      const wire::CheckedEntry row{.directory = inode->directory->whole(inode->number),
                                   .cookie = key.cookie,
                                   .inode = entry.inode,
                                   .type = entry.type,
                                   .name_bytes = static_cast<std::uint32_t>(key.name.size())};
      if (!fits(answer, sizeof row + key.name.size())) {
        head.next = counter;
        full = true;
        break;
      }
      answer.append(wire::bytes_of(row));
      answer.append(key.name);
      ++head.entries;
    }
  }
  set_head(answer, head);
  co_return answer;
}

Task<Answer> handle_check_chunks(Server& server, const Caller&, wire::CheckChunks request, Tail) {
  // Its own open file description: the position is this listing's alone.
  const Fd directory(::openat(server.store.directory(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) co_return Answer(Error::last());
  if (::lseek(directory.get(), static_cast<off_t>(request.cursor), SEEK_SET) < 0)
    co_return Answer(Error::last());
  wire::CheckChunksReply head{.next = request.cursor, .chunks = 0, .strangers = 0, .end = 0};
  Answer answer(head);
  alignas(dirent64) std::array<char, 16 << 10> page;
  const ssize_t bytes = ::getdents64(directory.get(), page.data(), page.size());
  if (bytes < 0) co_return Answer(Error::last());
  if (bytes == 0) head.end = 1;
  for (ssize_t offset = 0; offset < bytes;) {
    const auto* const entry = reinterpret_cast<const dirent64*>(page.data() + offset);
    offset += entry->d_reclen;
    const std::string_view name = entry->d_name;
    const auto id = chunk_of(name);
    if (!fits(answer, sizeof(wire::CheckedChunk))) break;
    head.next = static_cast<std::uint64_t>(entry->d_off);
    if (name == "." || name == "..") continue;
    struct stat there {};
    if (::fstatat(directory.get(), entry->d_name, &there, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!id || !S_ISREG(there.st_mode)) {
      ++head.strangers;
      continue;
    }
    const wire::CheckedChunk row{
        .inode = id->inode, .index = id->index, .bytes = static_cast<std::uint64_t>(there.st_size)};
    answer.append(wire::bytes_of(row));
    ++head.chunks;
  }
  set_head(answer, head);
  co_return answer;
}

}  // namespace benchfs
