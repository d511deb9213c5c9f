#include "registry/registry.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string_view>

#include "common/log.h"
#include "common/placement.h"
#include "common/sys.h"
#include "common/text.h"
#include "registry/bytes.h"
#include "registry/host_id.h"
#include "registry/private_directory.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

constexpr const char* lock_name = "lock";
constexpr const char* identity_name = "instance";
constexpr const char* ready_name = "ready";
constexpr const char* failed_name = "failed";
constexpr std::string_view new_suffix = ".new";

constexpr std::uint64_t identity_magic = 0x74736e6973666362;  // "bcfsinst"
constexpr std::size_t identity_bytes_max = 256;
constexpr std::size_t line_bytes_max = 4096;
constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t holder_patience_ns = 1000 * ms;
constexpr std::size_t named_ranks_max = 16;

// The pause between two looks at files that others write.
class Backoff {
 public:
  // False: the deadline has passed.
  bool pause(std::int64_t deadline_ns) {
    const std::int64_t rest_ns = deadline_ns - sys::now_ns();
    if (rest_ns <= 0) return false;
    const std::int64_t slice_ns = std::min(rest_ns, pause_ns_);
    const timespec slice{.tv_sec = 0, .tv_nsec = slice_ns};
    ::nanosleep(&slice, nullptr);
    pause_ns_ = std::min(2 * pause_ns_, 50 * ms);
    return true;
  }

 private:
  std::int64_t pause_ns_ = 1 * ms;
};

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

bool locks_unsupported(int code) {
  return code == ENOLCK || code == ENOSYS || code == EOPNOTSUPP || code == EINVAL;
}

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

// Rank of "node_<rank>.addr".
std::optional<std::uint32_t> rank_of(std::string_view name) {
  constexpr std::string_view prefix = "node_";
  constexpr std::string_view suffix = ".addr";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  return parse_number<std::uint32_t>(name);
}

std::string list_ranks(const std::vector<std::uint32_t>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), named_ranks_max); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  if (ranks.size() > named_ranks_max)
    text += " and " + std::to_string(ranks.size() - named_ranks_max) + " more";
  return text;
}

std::string list_hosts(const std::vector<std::uint32_t>& ranks, const HostOf& host_of) {
  std::vector<std::string> hosts;
  for (std::size_t i = 0; i < std::min(ranks.size(), named_ranks_max); ++i) {
    std::string host = host_of ? host_of(ranks[i]) : std::string();
    if (!host.empty() && std::find(hosts.begin(), hosts.end(), host) == hosts.end())
      hosts.push_back(std::move(host));
  }
  if (hosts.empty()) return "host unknown";
  std::string text = hosts.size() == 1 ? "host " : "hosts ";
  for (std::size_t i = 0; i < hosts.size(); ++i) text += (i > 0 ? ", " : "") + hosts[i];
  return text;
}

std::string who(const NodeRecord& record) {
  return "rank " + std::to_string(record.rank) + " on host " + record.host_name;
}

// The first setting that two ranks have differently, with both values.
std::string difference(const NodeRecord& own, const NodeRecord& other) {
  std::string_view mine = own.settings;
  std::string_view theirs = other.settings;
  while (!mine.empty() || !theirs.empty()) {
    const std::string_view a = mine.substr(0, mine.find_first_of(" \n"));
    const std::string_view b = theirs.substr(0, theirs.find_first_of(" \n"));
    if (a != b)
      return quoted(a) + " at rank " + std::to_string(own.rank) + ", " + quoted(b) + " at rank " +
             std::to_string(other.rank);
    mine.remove_prefix(std::min(a.size() + 1, mine.size()));
    theirs.remove_prefix(std::min(b.size() + 1, theirs.size()));
  }
  const auto hex = [](std::uint64_t value) { return fmt::format("{:016x}", value); };
  return "fingerprint " + hex(own.fingerprint) + " at rank " + std::to_string(own.rank) + ", " +
         hex(other.fingerprint) + " at rank " + std::to_string(other.rank);
}

}  // namespace

Identity make_identity() {
  Identity identity;
  std::array<std::byte, sizeof(InstanceId) + sizeof(Secret)> random;
  std::size_t got = 0;
  while (got < random.size()) {
    const ssize_t n = ::getrandom(random.data() + got, random.size() - got, 0);
    if (n < 0 && errno != EINTR)
      throw StartFailure(exit_code::other, "No random numbers: " + describe(Error::last()));
    if (n > 0) got += static_cast<std::size_t>(n);
  }
  std::memcpy(identity.instance.data(), random.data(), sizeof(InstanceId));
  std::memcpy(identity.secret.data(), random.data() + sizeof(InstanceId), sizeof(Secret));
  ::explicit_bzero(random.data(), random.size());
  return identity;
}

void Patience::check() const {
  if (given_up && given_up())
    throw StartFailure(exit_code::other, "Ended during the start", Teller::nobody);
}

Registry::Registry(std::string directory)
    : directory_(std::move(directory)),
      dir_(open_private_directory(directory_, "Registry directory", exit_code::registry,
                                  "Registry directory does not exist: " + directory_ +
                                      ": create it first (mkdir -p " + directory_ +
                                      "), where all hosts see it")) {
  char resolved[PATH_MAX];
  if (::realpath(directory_.c_str(), resolved) != nullptr) directory_ = resolved;
}

void Registry::ignore_old_failure() { old_failed_ = file_since(failed_name); }

std::pair<std::uint64_t, std::int64_t> Registry::file_since(const std::string& name) const {
  struct stat there {};
  if (::fstatat(dir_.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) return {};
  return {there.st_ino, there.st_mtim.tv_sec * 1'000'000'000LL + there.st_mtim.tv_nsec};
}

void Registry::write_file(const std::string& name, std::span<const std::byte> bytes, Sync sync) {
  const auto failed = [&](const char* what) {
    const Error error = Error::last();
    return StartFailure(exit_code::registry,
                        "Failed to register node address: cannot " + std::string(what) + " " +
                            file(name) + ": " + describe(error) +
                            ": use a directory that you may write to on every host, on a "
                            "filesystem that all hosts share",
                        Teller::once_per_host);
  };
  const std::string temporary = name + std::string(new_suffix);
  ::unlinkat(dir_.get(), temporary.c_str(), 0);
  const Fd out(::openat(dir_.get(), temporary.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) throw failed("create");
  while (!bytes.empty()) {
    const ssize_t n = ::write(out.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw failed("write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  if (sync == Sync::durable && ::fsync(out.get()) != 0) throw failed("write");
  if (::renameat(dir_.get(), temporary.c_str(), dir_.get(), name.c_str()) != 0)
    throw failed("rename");
}

std::optional<std::vector<std::byte>> Registry::read_file(const std::string& name,
                                                          std::size_t bytes_max) const {
  const auto failed = [&] {
    const Error error = Error::last();
    return StartFailure(exit_code::registry, "Registry file cannot be read: " + file(name) + ": " +
                                                 describe(error) + ": remove it");
  };
  const Fd in(::openat(dir_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in) {
    // ESTALE: renamed over on another host between look-up and open.
    if (errno == ENOENT || errno == ESTALE) return std::nullopt;
    throw failed();
  }
  // One more than allowed, so that the decoder sees that it is too long.
  std::vector<std::byte> bytes(bytes_max + 1);
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::read(in.get(), bytes.data() + got, bytes.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ESTALE) return std::nullopt;
    if (n < 0) throw failed();
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

Registry::Holder Registry::lock_holder() const {
  Holder holder;
  const Fd file(::openat(dir_.get(), lock_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return holder;
  std::string why;
  if (const auto bytes = read_file(lock_name, node_record_bytes_max)) {
    auto record = decode_node_record(*bytes, why);
    if (record.ok()) holder.record = *std::move(record);
  }
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_GETLK, &lock) == 0) {
    holder.locked = lock.l_type != F_UNLCK;
  } else if (holder.record) {
    const auto here = host_id();
    holder.unknown = !here.ok() || *here != holder.record->host_id;
    holder.locked = !holder.unknown && is_alive(holder.record->supervisor);
  }
  return holder;
}

void Registry::throw_live(const std::optional<NodeRecord>& holder) const {
  foreign_ = true;
  const std::string whose = holder ? " (rank 0 on host " + holder->host_name + ", pid " +
                                         std::to_string(pid_of(holder->supervisor)) + ")"
                                   : std::string();
  throw StartFailure(exit_code::other_instance,
                     "Registry " + directory_ + " belongs to a live instance" + whose +
                         ": end that one, or use another registry directory",
                     Teller::rank_0);
}

void Registry::take_lock(const NodeRecord& own) {
  const auto failed = [&] {
    const Error error = Error::last();
    return StartFailure(exit_code::registry, "Failed to register node address: cannot write " +
                                                 file(lock_name) + ": " + describe(error) +
                                                 ": use a directory that you may write to");
  };
  for (;;) {
    Fd lock_file(::openat(dir_.get(), lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!lock_file) throw failed();
    struct flock lock = whole_file(F_WRLCK);
    if (::fcntl(lock_file.get(), F_OFD_SETLK, &lock) != 0) {
      const Error error = Error::last();
      const Holder holder = lock_holder();
      if (!locks_unsupported(error.code()) || holder.locked) throw_live(holder.record);
      log::warn("{} cannot be locked: {}; whether its instance lives was asked of this host only",
                file(lock_name), error);
    }
    // Its last holder may have removed it between our open and our lock.
    struct stat held {};
    struct stat there {};
    if (::fstat(lock_file.get(), &held) != 0 ||
        ::fstatat(dir_.get(), lock_name, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
        held.st_ino != there.st_ino || held.st_dev != there.st_dev)
      continue;
    // In place: the lock is on this inode. A reader that sees half of it sees a wrong checksum.
    const std::vector<std::byte> bytes = encode(own);
    if (::ftruncate(lock_file.get(), 0) != 0 ||
        ::pwrite(lock_file.get(), bytes.data(), bytes.size(), 0) !=
            static_cast<ssize_t>(bytes.size()))
      throw failed();
    lock_ = std::move(lock_file);
    return;
  }
}

void Registry::refuse_live(const NodeRecord& own) const {
  // Whoever has just taken the lock needs an instant to write its name into it.
  const std::int64_t deadline_ns = sys::now_ns() + holder_patience_ns;
  Backoff backoff;
  for (;;) {
    const Holder holder = lock_holder();
    if (!holder.locked) return;
    if (holder.record && holder.record->launch_id == own.launch_id) return;
    if (!backoff.pause(deadline_ns)) throw_live(holder.record);
  }
}

void Registry::remove_leftovers(std::optional<std::uint64_t> keep) {
  const Fd own(::openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> names;
  if (DIR* const stream = own ? ::fdopendir(::dup(own.get())) : nullptr) {
    while (const dirent* const entry = ::readdir(stream)) names.emplace_back(entry->d_name);
    ::closedir(stream);
  }
  // A failure of this launch stays for all to see; its record is what proves that it is of it.
  const bool keep_failed = keep && failure(*keep);
  for (const std::string& name : names) {
    std::string_view base = name;
    const bool is_new = base.ends_with(new_suffix);
    if (is_new) base.remove_suffix(new_suffix.size());
    const auto rank = rank_of(base);
    const bool ours =
        rank || base == identity_name || base == ready_name || base.starts_with(failed_name);
    if (!ours || (base == failed_name && keep_failed) || (keep && rank && is_new)) continue;
    if (keep && rank) {
      std::string why;
      const auto bytes = read_file(name, node_record_bytes_max);
      const auto record = bytes ? decode_node_record(*bytes, why) : Error(ENOENT);
      if (record.ok() && record->launch_id == *keep) continue;
    }
    if (::unlinkat(dir_.get(), name.c_str(), 0) == 0)
      log::debug("removed {}: a leftover of an earlier start", file(name));
  }
}

void Registry::publish(const NodeRecord& own, Sync sync) {
  const std::lock_guard guard(writing_);
  if (withdrawn_ || failed_)
    throw StartFailure(exit_code::other, "Ended during the start", Teller::nobody);
  write_file(node_record_name(own.rank), encode(own), sync);
  published_ = true;
}

std::optional<NodeRecord> Registry::read_any(std::uint32_t rank) const {
  const std::string name = node_record_name(rank);
  const auto bytes = read_file(name, node_record_bytes_max);
  if (!bytes) return std::nullopt;
  std::string why;
  auto record = decode_node_record(*bytes, why);
  if (!record.ok())
    throw StartFailure(exit_code::registry, "Registry file is damaged: " + file(name) + " " + why +
                                                ": remove it and start again");
  if (record->rank != rank)
    throw StartFailure(exit_code::registry, "Registry file is damaged: " + file(name) +
                                                " is of rank " + std::to_string(record->rank) +
                                                ": remove it and start again");
  return *std::move(record);
}

std::optional<NodeRecord> Registry::read(std::uint32_t rank, std::uint64_t launch_id) const {
  auto record = read_any(rank);
  if (record && record->launch_id != launch_id) record.reset();
  return record;
}

void Registry::check_fits(const NodeRecord& own, const NodeRecord& other) const {
  // All compare with rank 0 and rank 0 with all, so rank 0 can tell of every difference.
  if (own.rank != 0 && other.rank != 0) return;
  const Teller teller = own.rank == 0 ? Teller::self : Teller::rank_0;
  const std::string name = file(node_record_name(other.rank));
  if (other.size != own.size)
    throw StartFailure(exit_code::other_instance,
                       name + ": rank " + std::to_string(other.rank) + " was started as one of " +
                           std::to_string(other.size) + ", rank " + std::to_string(own.rank) +
                           " as one of " + std::to_string(own.size) +
                           ": start all ranks by one command, in a registry of their own",
                       teller);
  if (other.instance != own.instance)
    throw StartFailure(exit_code::other_instance,
                       name + ": instance " + to_hex(other.instance) + ", but rank " +
                           std::to_string(own.rank) + " is of instance " + to_hex(own.instance) +
                           ": use another registry directory, or end that instance first",
                       teller);
  if (other.fingerprint != own.fingerprint)
    throw StartFailure(exit_code::configuration,
                       name + ": settings differ: " + difference(own, other) +
                           ": give all ranks the same configuration",
                       teller);
}

std::vector<NodeRecord> Registry::await(std::vector<std::uint32_t> ranks, const NodeRecord& own,
                                        NodeState state, const Patience& patience) const {
  std::vector<NodeRecord> records(ranks.size());
  std::vector<std::size_t> open(ranks.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  Backoff backoff;
  for (;;) {
    std::erase_if(open, [&](std::size_t i) {
      auto record = read(ranks[i], own.launch_id);
      if (!record || record->state < NodeState::joined) return false;
      if (record->state == NodeState::failed) return false;
      check_fits(own, *record);
      if (record->state < state) return false;
      records[i] = *std::move(record);
      return true;
    });
    if (open.empty()) return records;
    throw_failure(own.launch_id);
    patience.check();
    if (!backoff.pause(patience.deadline_ns)) break;
  }
  std::vector<std::uint32_t> late;
  for (const std::size_t i : open) late.push_back(ranks[i]);
  throw StartFailure(exit_code::peers, timeout_line(late, state, own, patience));
}

std::vector<NodeRecord> Registry::await_all(const NodeRecord& own, NodeState state,
                                            const Patience& patience) const {
  std::vector<std::uint32_t> ranks(own.size);
  std::iota(ranks.begin(), ranks.end(), std::uint32_t{0});
  return await(std::move(ranks), own, state, patience);
}

void Registry::await_others(const NodeRecord& own, NodeState state,
                            const Patience& patience) const {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < own.size; ++rank)
    if (rank != own.rank) ranks.push_back(rank);
  await(std::move(ranks), own, state, patience);
}

void Registry::await_rank_0(const NodeRecord& own, NodeState state,
                            const Patience& patience) const {
  await({0}, own, state, patience);
}

void Registry::write_identity(const NodeRecord& own, const Identity& identity) {
  ByteWriter out;
  out.number(identity_magic);
  out.number(own.launch_id);
  out.fixed(identity.instance);
  out.fixed(identity.secret);
  out.number(checksum(out.bytes()));
  {
    const std::lock_guard guard(writing_);
    if (withdrawn_) throw StartFailure(exit_code::other, "Ended during the start", Teller::nobody);
    write_file(identity_name, out.bytes(), Sync::durable);
  }
  ::explicit_bzero(out.bytes().data(), out.bytes().size());
}

Identity Registry::await_identity(const NodeRecord& own, const Patience& patience) const {
  Backoff backoff;
  do {
    if (auto bytes = read_file(identity_name, identity_bytes_max)) {
      const std::span<const std::byte> all(*bytes);
      ByteReader in(all);
      const bool known = in.number<std::uint64_t>() == identity_magic;
      const auto launch_id = in.number<std::uint64_t>();
      Identity identity;
      identity.instance = in.fixed<16>();
      identity.secret = in.fixed<32>();
      const std::size_t body_bytes = in.offset();
      const auto sum = in.number<std::uint64_t>();
      if (!known || !in.complete() || sum != checksum(all.first(body_bytes)))
        throw StartFailure(exit_code::registry, "Registry file is damaged: " + file(identity_name) +
                                                    " at offset " +
                                                    std::to_string(known ? in.fault_offset() : 0) +
                                                    ": remove it and start again");
      ::explicit_bzero(bytes->data(), bytes->size());
      // A killed instance of the same name may have left one: it counts while its rank 0 lives.
      if (launch_id == own.launch_id) {
        const Holder holder = lock_holder();
        if ((holder.locked || holder.unknown) && holder.record &&
            holder.record->instance == identity.instance)
          return identity;
      }
    }
    // Until rank 0 has tidied up, the word of an earlier start of the same name may lie there.
    if (file_since(failed_name) != old_failed_) throw_failure(own.launch_id);
    patience.check();
  } while (backoff.pause(patience.deadline_ns));
  throw StartFailure(exit_code::peers, timeout_line({0}, NodeState::joined, own, patience));
}

void Registry::mark_ready(const NodeRecord& own) {
  const std::lock_guard guard(writing_);
  if (withdrawn_) throw StartFailure(exit_code::other, "Ended during the start", Teller::nobody);
  write_file(ready_name, as_bytes(to_hex(own.instance) + " " + std::to_string(own.size) + "\n"),
             Sync::durable);
}

void Registry::retract_ready() noexcept {
  if (lock_) ::unlinkat(dir_.get(), ready_name, 0);
}

bool Registry::is_ready(const InstanceId& instance) const {
  const auto bytes = read_file(ready_name, line_bytes_max);
  const std::string id = to_hex(instance);
  return bytes && bytes->size() >= id.size() &&
         std::memcmp(bytes->data(), id.data(), id.size()) == 0;
}

bool Registry::mark_failed(NodeRecord own, const StartFailure& failure_here) noexcept {
  const std::string line = one_line(failure_here.what());
  const auto is_told = [&](const StartFailure& other) {
    return std::string_view(other.what()).ends_with(": " + line);
  };
  try {
    const std::lock_guard guard(writing_);
    if (withdrawn_ || foreign_) return true;
    const auto earlier =
        file_since(failed_name) != old_failed_ ? failure(own.launch_id) : std::nullopt;
    if (earlier) return !is_told(*earlier);
    own.state = NodeState::failed;
    own.exit_code = static_cast<std::uint32_t>(failure_here.code());
    write_file(node_record_name(own.rank), encode(own), Sync::no);
    failed_ = true;
    // Many ranks may fail at once: the first one's word stays, unless it is of an earlier start.
    const std::string mine = failed_name + ("." + std::to_string(own.rank));
    write_file(mine, as_bytes(one_line(who(own) + ": " + line, line_bytes_max - 1) + "\n"),
               Sync::no);
    if (::linkat(dir_.get(), mine.c_str(), dir_.get(), failed_name, 0) == 0) {
      ::unlinkat(dir_.get(), mine.c_str(), 0);
    } else if (::renameat2(dir_.get(), mine.c_str(), dir_.get(), failed_name, RENAME_EXCHANGE) ==
               0) {
      // Now ours stands there, and under our name what we found.
      const auto told =
          file_since(mine) != old_failed_ ? failure_in(mine, own.launch_id) : std::nullopt;
      if (told) ::renameat2(dir_.get(), mine.c_str(), dir_.get(), failed_name, RENAME_EXCHANGE);
      ::unlinkat(dir_.get(), mine.c_str(), 0);
      if (told) failed_ = false;
      if (told) return !is_told(*told);
    } else {
      ::renameat(dir_.get(), mine.c_str(), dir_.get(), failed_name);
    }
  } catch (const std::exception& error) {
    log::debug("the failure could not be left in the registry: {}", error.what());
  }
  return true;
}

std::optional<StartFailure> Registry::failure(std::uint64_t launch_id) const {
  return failure_in(failed_name, launch_id);
}

std::optional<StartFailure> Registry::failure_in(const std::string& name,
                                                 std::uint64_t launch_id) const {
  const auto bytes = read_file(name, line_bytes_max);
  if (!bytes) return std::nullopt;
  std::string_view line(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  line = line.substr(0, line.find('\n'));
  // The record of the rank it names says of which launch it is: an old one must not end this start.
  constexpr std::string_view prefix = "rank ";
  if (!line.starts_with(prefix)) return std::nullopt;
  const std::string_view number =
      line.substr(prefix.size(), line.find(' ', prefix.size()) - prefix.size());
  const auto rank = parse_number<std::uint32_t>(number);
  if (!rank) return std::nullopt;
  const auto record = read(*rank, launch_id);
  if (!record || record->state != NodeState::failed) return std::nullopt;
  return StartFailure(static_cast<int>(record->exit_code), std::string(line), Teller::nobody);
}

void Registry::throw_failure(std::uint64_t launch_id) const {
  if (const auto failed = failure(launch_id)) throw *failed;
}

std::vector<std::uint32_t> Registry::missing(const NodeRecord& own, NodeState state) const {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < own.size; ++rank) {
    const auto record = read(rank, own.launch_id);
    if (!record || record->state < state) ranks.push_back(rank);
  }
  return ranks;
}

std::string Registry::timeout_line(const std::vector<std::uint32_t>& ranks, NodeState state,
                                   const NodeRecord& own, const Patience& patience) const {
  const char* const what =
      state <= NodeState::joined ? " did not register in " : " did not become ready in ";
  std::string line = "Timeout waiting for nodes: " + list_ranks(ranks) + " (" +
                     list_hosts(ranks, patience.host_of) + ")" + what + directory_ + " within " +
                     std::to_string(patience.timeout_s) + " s";
  // What is there under their names is worth a word: it is why the directory does not look empty.
  std::string stale;
  for (std::size_t i = 0; i < std::min(ranks.size(), named_ranks_max); ++i) {
    const auto record = read_any(ranks[i]);
    if (record && record->launch_id != own.launch_id)
      stale += (stale.empty() ? "" : ", ") + node_record_name(ranks[i]) + " (host " +
               record->host_name + ")";
  }
  if (!stale.empty()) line += "; of another start: " + stale;
  return line +
         ": see the output of these ranks, check that all hosts share the directory, or raise "
         "node.start_timeout_s";
}

void Registry::withdraw(const NodeRecord& own) noexcept {
  try {
    const std::lock_guard guard(writing_);
    withdrawn_ = true;
    const auto remove = [&](const std::string& name) {
      if (::unlinkat(dir_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
        log::warn("{} could not be removed: {}", file(name), Error::last());
    };
    if (lock_) {
      remove(ready_name);
      remove(identity_name);
    }
    if (published_ && !failed_) {
      // Another instance may have come to the same place if locks do not work here.
      const auto record = read(own.rank, own.launch_id);
      if (record && record->supervisor == own.supervisor) remove(node_record_name(own.rank));
    }
    if (lock_) {
      remove(lock_name);
      lock_.reset();
    }
  } catch (const std::exception& error) {
    log::warn("the registry could not be tidied: {}", error.what());
  }
}

}  // namespace benchfs
