#include "client-preload/fs/working_directory.h"

#include <sys/stat.h>

#include "client-preload/fs/core.h"
#include "client-preload/fs/open_file.h"

namespace benchfs {

std::uint64_t WorkingDirectory::inode() const { return file_.load()->inode(); }

bool WorkingDirectory::find_out() {
  struct stat status {};
  const long error =
      sys::call(SYS_newfstatat, AT_FDCWD, sys::pointer("."), sys::pointer(&status), 0);
  const bool may_be_ours = error == 0 && S_ISDIR(status.st_mode) && status.st_nlink == 0;
  State state = State::elsewhere;
  if (!core_.off() && may_be_ours && core_.ready().ok() &&
      core_.host.is_placeholder(status.st_dev, status.st_ino)) {
    ProcessRecord* const record = core_.host.record();
    const std::uint32_t slot = record != nullptr ? record->working_slot.load() : 0;
    OpenFile* const file = slot != 0 ? core_.descriptors.use_slot(slot) : nullptr;
    OpenFile* none = nullptr;
    if (file != nullptr) {
      if (!file_.compare_exchange_strong(none, file)) core_.descriptors.end_use(*file);
      state = State::ours;
    }
  }
  State unknown = State::unknown;
  state_.compare_exchange_strong(unknown, state, std::memory_order_acq_rel);
  return state_.load() == State::ours;
}

Status WorkingDirectory::change(OpenFile& file) {
  ProcessRecord* const record = core_.host.record();
  if (record == nullptr) {
    core_.descriptors.end_use(file);
    return Error(EIO);
  }
  const long error = sys::call(SYS_fchdir, core_.host.placeholder.get());
  if (error < 0) {
    core_.descriptors.end_use(file);
    return Error(static_cast<int>(-error));
  }
  replace(&file);
  return Done{};
}

void WorkingDirectory::left() {
  if (file_.load() == nullptr) {
    state_.store(State::elsewhere);
  } else {
    replace(nullptr);
  }
}

void WorkingDirectory::note_in_record() {
  const OpenFile* const file = file_.load();
  if (ProcessRecord* const record = core_.host.known_record())
    record->working_slot.store(file != nullptr ? file->slot_index() : 0);
}

void WorkingDirectory::replace(OpenFile* file) {
  OpenFile* const old = file_.exchange(file);
  note_in_record();
  state_.store(file != nullptr ? State::ours : State::elsewhere, std::memory_order_release);
  if (old != nullptr) core_.descriptors.end_use(*old);
}

}  // namespace benchfs
