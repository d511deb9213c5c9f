#include "client-preload/fs/write_bracket.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "client-preload/fs/held.h"

namespace benchfs {
namespace {

class WriteBrackets : public testing::Test {
 protected:
  WriteBrackets() {
    void* const memory = mmap(nullptr, sizeof(HostTable), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    table = static_cast<HostTable*>(memory);
    record = table->record_of(self, true);
    entry = table->opened(self, {.inode = inode, .session = 1, .exact = true});
  }
  ~WriteBrackets() override { munmap(table, sizeof(HostTable)); }

  SizeEntry& size() { return table->entries[entry]; }
  void freeze() {
    size().frozen.store(1, std::memory_order_seq_cst);
    while (table->being_written(entry)) std::this_thread::yield();
  }
  void thaw() {
    size().generation.fetch_add(1);
    size().frozen.store(0, std::memory_order_seq_cst);
    sys::futex_wake(&size().frozen, INT32_MAX);
  }

  static constexpr std::uint64_t inode = 5;
  HostTable* table;
  const ProcessId self = process_id(getpid());
  ProcessRecord* record;
  std::uint32_t entry;
};

TEST_F(WriteBrackets, IsNotEnteredForAnotherInode) {
  const WriteBracket bracket(*table, *record, entry, inode + 1);
  EXPECT_FALSE(bracket.entered());
  EXPECT_FALSE(table->being_written(entry));
}

// A write inside the bracket and a cut inside the freeze never overlap.
TEST_F(WriteBrackets, KeepsWritersOutOfTheFreeze) {
  std::atomic<int> writing{0};
  std::atomic<bool> cutting{false};
  std::atomic<bool> overlapped{false};
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> writes{0};
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t) {
    writers.emplace_back([&] {
      while (!done.load()) {
        const WriteBracket bracket(*table, *record, entry, inode);
        writing.fetch_add(1);
        if (cutting.load() || bracket.generation() != size().generation.load()) overlapped = true;
        writes.fetch_add(1);
        writing.fetch_sub(1);
      }
    });
  }
  for (int round = 0; round < 2000 || writes.load() < 2000; ++round) {
    freeze();
    cutting = true;
    if (writing.load() != 0) overlapped = true;
    cutting = false;
    thaw();
  }
  done = true;
  for (auto& writer : writers) writer.join();
  EXPECT_FALSE(overlapped.load());
  EXPECT_FALSE(table->being_written(entry));
}

HostTable* handler_table = nullptr;
ProcessRecord* handler_record = nullptr;
std::uint32_t handler_entry = 0;
std::atomic<int> handled{0};

// A handler that writes the file whose write it interrupted, while a freeze waits for that write.
TEST_F(WriteBrackets, LetsASignalHandlerWriteInsideTheInterruptedWrite) {
  handler_table = table;
  handler_record = record;
  handler_entry = entry;
  handled = 0;
  struct sigaction action {};
  action.sa_handler = [](int) {
    const WriteBracket bracket(*handler_table, *handler_record, handler_entry, 5);
    if (bracket.entered()) handled.fetch_add(1);
  };
  struct sigaction before {};
  sigaction(SIGUSR1, &action, &before);
  std::thread freezer;
  {
    const WriteBracket bracket(*table, *record, entry, inode);
    freezer = std::thread([&] {
      freeze();
      thaw();
    });
    while (size().frozen.load() == 0) std::this_thread::yield();
    raise(SIGUSR1);
    EXPECT_EQ(handled.load(), 1);
    EXPECT_TRUE(WriteBracket::this_thread_writes(*table, entry));
  }
  freezer.join();
  EXPECT_FALSE(WriteBracket::this_thread_writes(*table, entry));
  sigaction(SIGUSR1, &before, nullptr);
}

RobustLock shared_lock;
std::atomic<std::uint64_t> shared_offset{0};
std::atomic<std::uint64_t> taken_by_handler{0};

std::uint64_t reserve(ProcessId self, std::uint64_t bytes) {
  Held held(shared_lock, self, &shared_offset);
  const std::uint64_t start = held.position().fetch_add(bytes);
  for (int i = 0; i < 50; ++i) asm volatile("" ::: "memory");
  return start;
}

// Threads and their signal handlers reserve ranges one after the other: none twice, none lost.
TEST(Held, NestsInSignalHandlers) {
  struct sigaction action {};
  action.sa_handler = [](int) {
    reserve(process_id(1), 1);
    taken_by_handler.fetch_add(1);
  };
  struct sigaction before {};
  sigaction(SIGUSR2, &action, &before);
  constexpr int rounds = 20000;
  std::vector<std::thread> threads;
  std::atomic<int> running{2};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) reserve(process_id(1), 1);
      running.fetch_sub(1);
      while (running.load() > 0) std::this_thread::yield();
    });
  }
  int sent = 0;
  while (running.load() == 2 && sent < 5000) {
    for (auto& thread : threads) pthread_kill(thread.native_handle(), SIGUSR2);
    ++sent;
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(shared_offset.load(), 2u * rounds + taken_by_handler.load());
  sigaction(SIGUSR2, &before, nullptr);
}

}  // namespace
}  // namespace benchfs
