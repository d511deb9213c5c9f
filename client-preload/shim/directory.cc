#include "client-preload/shim/directory.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace benchfs::shim {

dirent to_dirent(const DirectoryEntry& entry) {
  dirent out{};
  out.d_ino = entry.inode;
  out.d_off = static_cast<off_t>(entry.cookie);
  out.d_type = entry.type;
  const std::size_t length = std::min(entry.name.size(), sizeof out.d_name - 1);
  std::memcpy(out.d_name, entry.name.data(), length);
  constexpr std::size_t align = alignof(dirent);
  out.d_reclen = static_cast<unsigned short>((offsetof(dirent, d_name) + length + 1 + align - 1) /
                                             align * align);
  return out;
}

Result<dirent*> Directory::next() {
  if (used_ == page_.size()) {
    auto page = file_->list(cookie_);
    if (!page.ok()) {
      if (page.error() == Error(ENOENT)) return nullptr;  // it was removed: as in glibc
      return page.error();
    }
    page_ = *std::move(page);
    used_ = 0;
    if (page_.empty()) return nullptr;
  }
  const DirectoryEntry& found = page_[used_++];
  cookie_ = found.cookie;
  entry_ = to_dirent(found);
  return &entry_;
}

long Directory::tell() { return static_cast<long>(cookie_); }

void Directory::seek(long cookie) {
  cookie_ = static_cast<std::uint64_t>(cookie);
  page_.clear();
  used_ = 0;
}

}  // namespace benchfs::shim
