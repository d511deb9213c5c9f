#include "client-preload/fs/core.h"

#include <sys/mman.h>

namespace benchfs {
namespace {

// A page of its own that reads as zero in a forked child, however the fork was made.
std::atomic<std::uint32_t>* make_fork_mark() {
  static std::atomic<std::uint32_t> without{1};
  const long page =
      sys::call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (sys::failed(page)) return &without;
  if (sys::call(SYS_madvise, page, 4096, MADV_WIPEONFORK) < 0) {
    sys::call(SYS_munmap, page, 4096);
    return &without;
  }
  return reinterpret_cast<std::atomic<std::uint32_t>*>(page);
}

}  // namespace

Core::Core(const Settings& settings)
    : mount(settings.mount_point),
      on_(!settings.local_dir.empty() && mount.valid()),
      read_only_(settings.read_only),
      fork_mark_(make_fork_mark()),
      host(settings.local_dir, privates),
      cache(privates),
      io(host, cache),
      descriptors(*this),
      working_directory(*this) {
  fork_mark_->store(1);
}

Core::~Core() {
  cache.drop_all();
  if (!connected()) return;
  descriptors.release_all();
}

std::optional<std::string_view> Core::locate_absolute(const char* name) const {
  if (const auto rest = mount.below(name)) return rest;
  if (!mount.may_enter(name)) return {};
  return mount.below(AT_FDCWD, "/", name);
}

Status Core::get_ready() {
  if (off()) return Error(EIO);
  const Guard guard(host.lock());
  if (connected()) {
    if (*fork_mark_ == 0) forked_unannounced();
    return Done{};
  }
  TRY_OK(host.connect());
  fork_mark_->store(1);
  descriptors.adopt_inherited();
  connected_.store(true, std::memory_order_release);
  return Done{};
}

void Core::before_fork() {
  host.lock().lock();
  descriptors.lock().lock();
  privates.lock().lock();
  child_record_ = nullptr;
  if (!connected()) return;
  ProcessRecord* const record = host.known_record();
  if (record == nullptr) return;
  if (record->held.load() != 0 || record->working_slot.load() != 0)
    child_record_ = host.table().fork_record(host.self(), *record);
}

void Core::after_fork_parent(pid_t child) {
  ProcessRecord* const record = child_record_;
  bool ring = false;
  if (record != nullptr && child > 0) {
    ProcessId expected = host.self() | embryo;
    record->process.compare_exchange_strong(expected, static_cast<ProcessId>(child));
    host.table().process_events.fetch_add(1);
    ring = true;
  } else if (record != nullptr && host.table().drop_record(host.self(), *record)) {
    host.table().release_help.store(1);
    ring = true;
  }
  privates.lock().unlock();
  descriptors.lock().unlock();
  host.lock().unlock();
  if (ring) host.ring_leader();
}

void Core::after_fork_child() {
  share_nothing_with_parent(child_record_);
  privates.lock().unlock();
  descriptors.lock().unlock();
  host.lock().unlock();
}

void Core::share_nothing_with_parent(ProcessRecord* record) {
  fork_mark_->store(1);
  if (!connected()) return;
  host.forked(record);
  cache.forked();
  descriptors.forked();
}

// A fork that no shim announced (a raw system call): the parent's record is not ours to use, and
// what was open is held by nobody here until it is taken now.
void Core::forked_unannounced() {
  const Guard guard(descriptors.lock());
  share_nothing_with_parent(nullptr);
  descriptors.hold_all();
  working_directory.note_in_record();
}

}  // namespace benchfs
