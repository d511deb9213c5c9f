#include "daemon/supervisor/data_directory.h"

#include <dirent.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

#include "common/config.h"
#include "common/log.h"
#include "common/sys.h"
#include "common/text.h"
#include "registry/private_directory.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

constexpr const char* what = "Data directory";
constexpr const char* lock_name = "lock";
constexpr const char* socket_name = "socket";
constexpr std::string_view rank_prefix = "rank_";

StartFailure failed(const std::string& path, const char* verb, Error error) {
  return StartFailure(
      exit_code::storage,
      std::string(what) + " cannot be used: cannot " + verb + " " + path + ": " + describe(error) +
          ": set storage.data_dir to a directory on this node that you may write to");
}

StartFailure in_use(const std::string& path) {
  return StartFailure(exit_code::storage,
                      std::string(what) + " is in use by a live instance: " + path +
                          ": end that one, or set storage.data_dir to another directory "
                          "(--set storage.data_dir=DIR)");
}

void make_directories(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    const bool last = end == std::string::npos;
    if (::mkdir(part.c_str(), last ? 0700 : 0755) != 0 && errno != EEXIST) {
      const Error error = Error::last();
      struct stat there {};
      // A parent may exist and still answer EACCES or EROFS.
      if (::stat(part.c_str(), &there) != 0 || !S_ISDIR(there.st_mode))
        throw StartFailure(exit_code::storage,
                           std::string(what) + " cannot be made: " + path + ": " + describe(error) +
                               ": set storage.data_dir to a directory on this node that you may "
                               "write to",
                           Teller::once_per_host);
    }
    if (last) return;
  }
}

// The locked lock file of a rank's directory; none if somebody lives there.
std::optional<Fd> lock_rank(int rank_dir, const std::string& path) {
  for (;;) {
    Fd lock(::openat(rank_dir, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!lock) throw failed(path + "/" + lock_name, "create", Error::last());
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      throw failed(path + "/" + lock_name, "lock", Error::last());
    }
    // Its last holder may have removed it between our open and our lock.
    struct stat held {};
    struct stat there {};
    if (::fstat(lock.get(), &held) == 0 &&
        ::fstatat(rank_dir, lock_name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        held.st_ino == there.st_ino)
      return lock;
  }
}

Fd open_rank(int dir, const std::string& name) {
  return Fd(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

std::string rank_name(std::uint32_t rank) {
  return std::string(rank_prefix) + std::to_string(rank);
}

}  // namespace

DataDirectory::DataDirectory(std::string path, std::uint32_t rank)
    : path_(std::move(path)), rank_(rank) {
  const auto open_base = [&] {
    make_directories(path_);
    dir_ = open_private_directory(path_, what, exit_code::storage,
                                  std::string(what) + " has vanished: " + path_ + ": start again");
  };
  open_base();
  // Again if another instance that ends removes the directories under our hands.
  constexpr int attempts_max = 100;
  for (int attempt = 0; !lock_; ++attempt) {
    if (::mkdirat(dir_.get(), rank_name(rank_).c_str(), 0700) != 0 && errno != EEXIST) {
      if (errno != ENOENT || attempt >= attempts_max)
        throw failed(rank_path(), "create", Error::last());
      open_base();
      continue;
    }
    rank_dir_ = open_rank(dir_.get(), rank_name(rank_));
    if (!rank_dir_) {
      if (errno == ENOENT && attempt < attempts_max) continue;
      throw failed(rank_path(), "open", Error::last());
    }
    std::optional<Fd> lock;
    try {
      lock = lock_rank(rank_dir_.get(), rank_path());
    } catch (const StartFailure&) {
      struct stat there {};
      if (attempt < attempts_max && ::fstat(rank_dir_.get(), &there) == 0 && there.st_nlink == 0)
        continue;
      throw;
    }
    if (!lock) throw in_use(rank_path());
    lock_ = *std::move(lock);
  }
  if (!wipe_directory(rank_dir_.get(), lock_name))
    throw StartFailure(exit_code::storage, std::string(what) +
                                               " cannot be emptied: " + rank_path() +
                                               ": remove it (rm -r " + rank_path() + ")");
}

std::string DataDirectory::rank_path() const { return path_ + "/" + rank_name(rank_); }

Fd DataDirectory::make_listener() {
  const auto fail = [&](const char* verb) {
    return failed(rank_path() + "/socket", verb, Error::last());
  };
  Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) throw fail("create");
  // By way of /proc, since a socket's address holds 107 characters only.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", rank_dir_.get(),
                socket_name);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw fail("bind");
  if (::fchmodat(rank_dir_.get(), socket_name, 0600, 0) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0)
    throw fail("listen on");
  return listener;
}

Fd DataDirectory::share_lock() const {
  Fd shared(::fcntl(lock_.get(), F_DUPFD_CLOEXEC, 0));
  if (!shared) throw failed(rank_path() + "/" + lock_name, "share", Error::last());
  return shared;
}

std::vector<std::uint32_t> DataDirectory::other_ranks() const {
  std::vector<std::uint32_t> ranks;
  DIR* const stream = ::fdopendir(::openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (const dirent* const entry = stream != nullptr ? ::readdir(stream) : nullptr) {
    std::string_view name = entry->d_name;
    if (!name.starts_with(rank_prefix)) continue;
    name.remove_prefix(rank_prefix.size());
    const auto rank = parse_number<std::uint32_t>(name);
    if (rank && *rank != rank_) ranks.push_back(*rank);
  }
  if (stream != nullptr) ::closedir(stream);
  return ranks;
}

void DataDirectory::claim_host(std::span<const NodeRecord> records, const NodeRecord& own) {
  const std::vector<std::uint32_t> here = ranks_here(records, own);
  for (const std::uint32_t rank : here)
    if (records[rank].data_dir != own.data_dir)
      throw StartFailure(exit_code::configuration,
                         "storage.data_dir differs between ranks of host " + own.host_name + ": " +
                             own.data_dir + " at rank " + std::to_string(own.rank) + ", " +
                             records[rank].data_dir + " at rank " + std::to_string(rank) +
                             ": give the ranks of a host the same one");

  const auto record_path = host_record_path(path_.c_str());
  if (!record_path.ok()) throw failed(path_, "name the host record in", record_path.error());
  const Fd old(::open(record_path->c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (old && ::flock(old.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw in_use(*record_path);
  if (old) ::unlink(record_path->c_str());

  // Ranks of this instance hold their locks by now, also those that share the directory from
  // another host; so a free lock is a dead instance's.
  for (const std::uint32_t rank : other_ranks()) {
    if (std::binary_search(here.begin(), here.end(), rank)) continue;
    const std::string path = path_ + "/" + rank_name(rank);
    const Fd rank_dir = open_rank(dir_.get(), rank_name(rank));
    if (!rank_dir) continue;
    const std::optional<Fd> lock = lock_rank(rank_dir.get(), path);
    if (!lock) {
      if (rank < records.size() && records[rank].data_dir == own.data_dir) continue;
      throw in_use(path);
    }
    wipe_directory(rank_dir.get());
    ::unlinkat(dir_.get(), rank_name(rank).c_str(), AT_REMOVEDIR);
    log::debug("removed {}: a leftover of an earlier instance", path);
  }
}

void DataDirectory::write_host(const HostRecord& record) {
  const auto path = host_record_path(path_.c_str());
  if (!path.ok()) throw failed(path_, "name the host record in", path.error());
  const Status written = write_host_record(path_.c_str(), record);
  if (!written.ok()) throw failed(*path, "write", written.error());
  host_record_.reset(::open(path->c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!host_record_ || ::flock(host_record_.get(), LOCK_EX | LOCK_NB) != 0)
    throw failed(*path, "lock", Error::last());
}

void DataDirectory::remove_host() noexcept {
  if (!host_record_) return;
  const auto path = host_record_path(path_.c_str());
  if (path.ok()) ::unlink(path->c_str());
  host_record_.reset();
}

void DataDirectory::remove(bool keep_data) noexcept {
  if (!lock_) return;
  remove_host();
  if (keep_data) {
    ::unlinkat(rank_dir_.get(), socket_name, 0);
    ::unlinkat(rank_dir_.get(), lock_name, 0);
    lock_.reset();
    return;
  }
  // The lock goes last: until then nobody else may start here.
  bool removed = wipe_directory(rank_dir_.get(), lock_name);
  removed = ::unlinkat(rank_dir_.get(), lock_name, 0) == 0 && removed;
  removed = ::unlinkat(dir_.get(), rank_name(rank_).c_str(), AT_REMOVEDIR) == 0 && removed;
  if (!removed && errno != ENOENT)
    log::warn("{} could not be removed: {}", rank_path(), Error::last());
  lock_.reset();
  // The default directory is ours by name; one that the user named stays, as he made it.
  if (path_ == default_data_dir()) ::rmdir(path_.c_str());
}

void DataDirectory::await_neighbours(std::int64_t deadline_ns) const noexcept {
  const Fd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  for (;;) {
    bool alive = false;
    for (const std::uint32_t rank : other_ranks()) {
      const Fd rank_dir = open_rank(dir_.get(), rank_name(rank));
      if (!rank_dir) continue;
      // Watched before it is looked at, so that its end cannot fall in between.
      const std::string path = "/proc/self/fd/" + std::to_string(rank_dir.get());
      ::inotify_add_watch(events.get(), path.c_str(), IN_DELETE);
      const Fd lock(::openat(rank_dir.get(), lock_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
      alive = alive || (lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0);
    }
    const std::int64_t rest_ms = (deadline_ns - sys::now_ns()) / 1'000'000;
    if (!alive || rest_ms <= 0) return;
    // In slices, since one that is killed deletes nothing.
    pollfd readable{.fd = events.get(), .events = POLLIN, .revents = 0};
    ::poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(rest_ms, 50)));
    char drained[4096];
    while (sys::read(events.get(), drained, sizeof drained) > 0) {
    }
  }
}

std::vector<std::uint32_t> ranks_here(std::span<const NodeRecord> records, const NodeRecord& own) {
  std::vector<std::uint32_t> ranks;
  for (const NodeRecord& record : records)
    if (record.host_id == own.host_id) ranks.push_back(record.rank);
  return ranks;
}

}  // namespace benchfs
