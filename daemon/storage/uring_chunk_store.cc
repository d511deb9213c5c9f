#include "daemon/storage/uring_chunk_store.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::size_t inline_write_bytes = 64 << 10;
constexpr std::uint64_t tries_max = 4096;  // names tried before listing the directory is cheaper

}  // namespace

std::string chunk_name(ChunkId id) {
  return "inode_" + std::to_string(id.inode) + "_chunk_" + std::to_string(id.index);
}

Result<std::unique_ptr<UringChunkStore>> UringChunkStore::create(Uring& uring,
                                                                 const std::string& directory,
                                                                 Layout layout) {
  const std::string path = directory + "/chunks";
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::last();
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Error::last();
  struct statfs kind {};
  if (::fstatfs(fd.get(), &kind) != 0) return Error::last();
  std::unique_ptr<UringChunkStore> store(new UringChunkStore(uring, std::move(fd), layout));
  store->memory_backed_ = kind.f_type == TMPFS_MAGIC;
  return store;
}

bool UringChunkStore::is_mine(ChunkId id) const {
  return stripe_rank(id.inode, id.index, layout_.ranks) == layout_.rank;
}

Task<Result<std::size_t>> UringChunkStore::read(ChunkId id, std::uint32_t offset,
                                                std::span<std::byte> out) {
  const std::string name = chunk_name(id);
  const int opened =
      co_await uring_.openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (opened == -ENOENT) co_return std::size_t{0};
  if (opened < 0) co_return Error(-opened);
  const Fd fd(opened);
  std::size_t total = 0;
  while (total < out.size()) {  // a short read is not the end of the file
    const auto rest = out.subspan(total);
    const int n = co_await uring_.read(fd.get(), rest.data(),
                                       static_cast<std::uint32_t>(rest.size()), offset + total);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n < 0) co_return Error(-n);
    if (n == 0) break;
    total += static_cast<std::size_t>(n);
  }
  co_return total;
}

Task<Result<std::size_t>> UringChunkStore::write(ChunkId id, std::uint32_t offset,
                                                 std::span<const std::byte> data) {
  const std::string name = chunk_name(id);
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
  const int opened = co_await uring_.openat(directory_.get(), name.c_str(), flags, 0600);
  if (opened < 0) co_return Error(-opened);
  const Fd fd(opened);
  std::size_t total = 0;
  while (total < data.size()) {
    const auto rest = data.subspan(total);
    int n = 0;
    if (memory_backed_ && rest.size() <= inline_write_bytes)
      n = static_cast<int>(
          sys::pwrite(fd.get(), rest.data(), rest.size(), static_cast<off_t>(offset + total)));
    else
      n = co_await uring_.write(fd.get(), rest.data(), static_cast<std::uint32_t>(rest.size()),
                                offset + total);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) {
      if (total > 0) break;  // what fitted counts; the next write says why
      co_return Error(n == 0 ? ENOSPC : -n);
    }
    total += static_cast<std::size_t>(n);
  }
  co_return total;
}

std::vector<std::uint64_t> UringChunkStore::existing(std::uint64_t inode) const {
  std::vector<std::uint64_t> found;
  const std::string prefix = "inode_" + std::to_string(inode) + "_chunk_";
  const int copy = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return found;
  DIR* const listing = ::fdopendir(copy);
  if (listing == nullptr) {
    sys::close(copy);
    return found;
  }
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(prefix)) continue;
    std::uint64_t index = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), index);
    found.push_back(index);
  }
  ::closedir(listing);
  return found;
}

std::vector<std::uint64_t> UringChunkStore::chunks_between(std::uint64_t inode, std::uint64_t first,
                                                           std::uint64_t last) const {
  std::vector<std::uint64_t> found;
  if (last - first > tries_max) {
    for (const std::uint64_t index : existing(inode))
      if (index >= first) found.push_back(index);
    return found;
  }
  for (std::uint64_t index = first; index < last; ++index)
    if (is_mine({inode, index})) found.push_back(index);
  return found;
}

Task<Status> UringChunkStore::cut(std::uint64_t inode, std::uint64_t size, std::uint64_t known) {
  const std::uint64_t chunk_bytes = layout_.chunk_bytes;
  const std::uint64_t inside = size % chunk_bytes;
  if (inside != 0 && is_mine({inode, size / chunk_bytes})) {
    const std::string name = chunk_name({inode, size / chunk_bytes});
    const int opened =
        co_await uring_.openat(directory_.get(), name.c_str(), O_WRONLY | O_CLOEXEC, 0);
    if (opened >= 0) {
      const Fd fd(opened);
      struct stat now {};
      if (::fstat(fd.get(), &now) == 0 && static_cast<std::uint64_t>(now.st_size) > inside &&
          ::ftruncate(fd.get(), static_cast<off_t>(inside)) != 0)
        co_return Error::last();
    } else if (opened != -ENOENT) {
      co_return Error(-opened);
    }
  }
  const std::uint64_t first = (size + chunk_bytes - 1) / chunk_bytes;
  const std::uint64_t last =
      known == 0 ? UINT64_MAX : std::max(first, (known + chunk_bytes - 1) / chunk_bytes);
  for (const std::uint64_t index : chunks_between(inode, first, last)) {
    const std::string name = chunk_name({inode, index});
    const int error = co_await uring_.unlinkat(directory_.get(), name.c_str(), 0);
    if (error < 0 && error != -ENOENT) co_return Error(-error);
  }
  co_return Done{};
}

Task<Status> UringChunkStore::sync(std::uint64_t inode, std::uint64_t size) {
  const std::uint64_t last = (size + layout_.chunk_bytes - 1) / layout_.chunk_bytes;
  for (const std::uint64_t index : chunks_between(inode, 0, last)) {
    const std::string name = chunk_name({inode, index});
    const int opened =
        co_await uring_.openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC, 0);
    if (opened == -ENOENT) continue;
    if (opened < 0) co_return Error(-opened);
    const Fd fd(opened);
    const int error = co_await uring_.fsync(fd.get());
    if (error < 0) co_return Error(-error);
  }
  co_return Done{};
}

std::uint64_t UringChunkStore::blocks(std::uint64_t inode, std::uint64_t size) const {
  const std::uint64_t last = size / layout_.chunk_bytes + (size % layout_.chunk_bytes != 0 ? 1 : 0);
  std::uint64_t sum = 0;
  for (const std::uint64_t index : chunks_between(inode, 0, last)) {
    struct stat chunk {};
    const std::string name = chunk_name({inode, index});
    if (::fstatat(directory_.get(), name.c_str(), &chunk, 0) == 0)
      sum += static_cast<std::uint64_t>(chunk.st_blocks);
  }
  return sum;
}

Result<Space> UringChunkStore::space() {
  struct statvfs info {};
  if (::fstatvfs(directory_.get(), &info) != 0) return Error::last();
  struct stat place {};
  if (::fstat(directory_.get(), &place) != 0) return Error::last();
  return Space{.bytes_total = info.f_blocks * info.f_frsize,
               .bytes_free = info.f_bavail * info.f_frsize,
               .device = place.st_dev};
}

}  // namespace benchfs
