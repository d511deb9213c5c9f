// Listing directories.
#include <dirent.h>

#include "client-preload/fs/core.h"
#include "client-preload/fs/open_file.h"
#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::uint64_t dot_cookie = 1;
constexpr std::uint64_t dots_cookie = 2;
// From part to part of a directory that was split: as many as there can be, and once back.
constexpr std::uint32_t hops_max = 2 * ranks_max;

}  // namespace

Result<std::vector<DirectoryEntry>> OpenFile::list(std::uint64_t cookie) {
  if (!is_directory()) return Error(ENOTDIR);
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  std::vector<DirectoryEntry> page;
  // The last page said that nothing follows: no request is needed to say so again.
  if (cookie > dots_cookie && cookie == listing_end_.load(std::memory_order_relaxed)) return page;
  TRY_OK(core_.ready());
  // A directory that was split says where its entries go on.
  wire::List message{.inode = inode(), .cookie = cookie <= dots_cookie ? 0 : cookie};
  Request request;
  TRY(auto head, core_.ask(request, home_rank(inode()), message));
  const std::uint64_t parent = head.parent;
  for (std::uint32_t hops = 0; head.entries == 0 && head.end == 0; ++hops) {
    if (head.next == 0 || hops == hops_max) return Error(EIO);
    message = {.inode = head.next, .cookie = head.next_cookie};
    TRY(head, core_.ask(request, home_rank(message.inode), message));
  }
  const auto body = request.body();
  std::size_t at = sizeof head;
  if (head.entries > body.size() / sizeof(wire::ListEntry)) return Error(EIO);
  page.reserve(head.entries + 2);
  if (cookie < dot_cookie)
    page.push_back({.inode = inode(), .cookie = dot_cookie, .type = DT_DIR, .name = "."});
  if (cookie < dots_cookie)
    page.push_back({.inode = parent, .cookie = dots_cookie, .type = DT_DIR, .name = ".."});
  for (std::uint32_t i = 0; i < head.entries; ++i) {
    if (at > body.size()) return Error(EIO);
    TRY(const auto row, wire::parse<wire::ListEntry>(body.subspan(at)));
    TRY(const auto name, wire::text(body, at + sizeof row, row.name_bytes));
    page.push_back({.inode = row.inode,
                    .cookie = row.cookie,
                    .type = static_cast<std::uint8_t>(row.type),
                    .name = std::string(name)});
    at += sizeof row + name.size();
  }
  listing_end_.store(head.end != 0 && !page.empty() ? page.back().cookie : 0,
                     std::memory_order_relaxed);
  return page;
}

}  // namespace benchfs
