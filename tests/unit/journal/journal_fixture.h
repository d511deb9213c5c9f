// A journal in a directory of its own, which can be opened again as after a kill.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/journal/journal.h"

namespace benchfs {

class KeepingSink final : public RecordSink {
 public:
  bool take(RecordType type, std::span<const std::byte> body) override {
    if (type != RecordType::blob) return false;
    texts.emplace_back(reinterpret_cast<const char*>(body.data()), body.size());
    return true;
  }
  std::vector<std::string> texts;
};

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    directory_ = testing::TempDir() + "/journal.XXXXXX";
    if (::mkdtemp(directory_.data()) == nullptr) std::abort();
    options_.directory = directory_ + "/journal";
    options_.identity = {.instance = {std::byte{1}}, .rank = 2};
    options_.first_segment_bytes = 32 << 10;
  }
  ~JournalTest() override {
    close();
    std::filesystem::remove_all(directory_);
  }

  // As a new process would; false: refused, and why_ says why.
  bool open(std::unique_ptr<SegmentFiles> files = nullptr) {
    close();
    sink_ = {};
    auto journal = Journal::open(loop_, *uring_, options_, sink_, why_, std::move(files));
    if (journal.ok()) journal_ = *std::move(journal);
    return journal.ok();
  }
  void close() {
    turn_until([&] { return loop_.spawned() == 0; });
    journal_.reset();
  }
  void append(std::string_view text) { journal_->append(RecordType::blob, wire::bytes_of(text)); }
  void write(std::string_view text) {
    append(text);
    journal_->commit();
  }

  template <class Condition>
  void turn_until(Condition condition) {
    const std::int64_t deadline = sys::now_ns() + 20'000'000'000;
    while (!condition()) {
      ASSERT_LT(sys::now_ns(), deadline);
      loop_.turn(0);
    }
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    loop_.spawn(keep(std::move(task), &result));
    turn_until([&] { return result.has_value(); });
    return *std::move(result);
  }

  std::string file(const std::string& name) const { return options_.directory + "/" + name; }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void replace(const std::string& path, std::string_view content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  std::size_t files() const {
    const std::filesystem::directory_iterator begin(options_.directory);
    return static_cast<std::size_t>(std::distance(begin, {}));
  }

  std::string directory_;
  EventLoop loop_;
  std::unique_ptr<Uring> uring_ = *Uring::create(loop_, 64, 16);
  JournalOptions options_;
  KeepingSink sink_;
  std::string why_;
  std::unique_ptr<Journal> journal_;

 private:
  template <class T>
  static Task<int> keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await task);
    co_return 0;
  }
};

}  // namespace benchfs
