#include "client-preload/fs/write_bracket.h"

#include "common/sys.h"

namespace benchfs {
namespace {

thread_local WriteBracket* top = nullptr;  // of this thread, innermost first

constexpr std::int64_t slice_ns = 100'000'000;

std::atomic<std::uint64_t>& claim(ProcessRecord& record, std::uint64_t value) {
  for (std::uint32_t tries = 0;; ++tries) {
    for (auto& word : record.writing) {
      std::uint64_t expected = 0;
      if (word.load(std::memory_order_relaxed) == 0 &&
          word.compare_exchange_strong(expected, value, std::memory_order_seq_cst))
        return word;
    }
    sys::yield();  // so many threads write at once
  }
}

}  // namespace

void WriteBracket::wait_for_thaw(SizeEntry& entry) {
  while (entry.frozen.load(std::memory_order_seq_cst) != 0)
    sys::futex_wait(&entry.frozen, 1, slice_ns);
}

bool WriteBracket::this_thread_writes(const HostTable& table, std::uint32_t entry) {
  for (const WriteBracket* bracket = top; bracket != nullptr; bracket = bracket->below_)
    if (bracket->entry_ == entry && &bracket->table_ == &table && bracket->entered()) return true;
  return false;
}

// True: an interrupted write of this thread is inside, so this one is too. One that has claimed its
// word but not looked at `frozen` yet is made to start over.
bool WriteBracket::step_aside_or_join() {
  for (WriteBracket* bracket = below_; bracket != nullptr; bracket = bracket->below_) {
    if (bracket->entry_ != entry_ || &bracket->table_ != &table_) continue;
    if (bracket->state_.load(std::memory_order_relaxed) == State::in) {
      generation_ = bracket->generation_;
      return true;
    }
    if (bracket->state_.load(std::memory_order_relaxed) == State::claimed) {
      bracket->cleared_.store(true, std::memory_order_relaxed);
      bracket->word_->store(0);
    }
  }
  return false;
}

WriteBracket::WriteBracket(HostTable& table, ProcessRecord& record, std::uint32_t entry,
                           std::uint64_t inode)
    : table_(table), entry_(entry), below_(top) {
  if (below_ < this) below_ = nullptr;  // a deeper frame, left by siglongjmp
  if (below_ != nullptr && step_aside_or_join()) {
    state_.store(State::nested, std::memory_order_relaxed);
    top = this;
    return;
  }
  top = this;
  enter(record);
  if (table_.entries[entry_].inode == inode) return;
  word_->store(0, std::memory_order_release);  // the file was closed by another thread
  state_.store(State::out, std::memory_order_relaxed);
}

void WriteBracket::enter(ProcessRecord& record) {
  SizeEntry& entry = table_.entries[entry_];
  for (;;) {
    generation_ = entry.generation.load(std::memory_order_acquire);
    cleared_.store(false, std::memory_order_relaxed);
    word_ = &claim(record, entry_ | std::uint64_t{generation_} << 32);
    state_.store(State::claimed, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const bool frozen = entry.frozen.load(std::memory_order_seq_cst) != 0;
    const bool same = entry.generation.load(std::memory_order_acquire) == generation_;
    if (!frozen && same) {
      state_.store(State::in, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (!cleared_.load(std::memory_order_relaxed)) return;
    }
    state_.store(State::out, std::memory_order_relaxed);
    if (!cleared_.load(std::memory_order_relaxed)) word_->store(0, std::memory_order_seq_cst);
    wait_for_thaw(entry);
  }
}

WriteBracket::~WriteBracket() {
  if (state_.load(std::memory_order_relaxed) == State::in) {
    word_->store(0, std::memory_order_release);
    state_.store(State::out, std::memory_order_relaxed);
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  top = below_;
}

}  // namespace benchfs
