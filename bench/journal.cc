// What a server's metadata costs: bytes of memory a file, time to log a change, time to replay.
//
//   bench_journal FILES DIRECTORIES [JOURNAL_DIRECTORY]
//
// Makes so many empty files with names of 16 bytes, spread over so many directories, one after the
// other as a server would, and logs them if a directory is given; then removes and makes a tenth of
// them again, and reads the log back. Build it with optimisation for figures that mean something.
#include "daemon/journal/journal.h"

#include <malloc.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/sys.h"
#include "common/text.h"
#include "daemon/metadata/namespace.h"

namespace benchfs {
namespace {

class Clock {
 public:
  explicit Clock(const char* what) : what_(what) {}
  void report(std::uint64_t count, const char* unit) const {
    const double ns = static_cast<double>(sys::now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_);
    std::printf("%-28s %10llu  %8.3f us a %s, %8.3f million a second\n", what_,
                static_cast<unsigned long long>(count), ns / 1000 / static_cast<double>(count),
                unit, static_cast<double>(count) * 1000 / ns);
  }

 private:
  const char* what_;
  std::int64_t begin_ = sys::now_ns(CLOCK_PROCESS_CPUTIME_ID);
};

std::string name_of(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "file.%011llu", static_cast<unsigned long long>(number));
  return text;
}

class NamesSink final : public RecordSink {
 public:
  explicit NamesSink(Namespace& names) : names_(names) {}
  bool take(RecordType type, std::span<const std::byte> body) override {
    return names_.restore(type, body);
  }

 private:
  Namespace& names_;
};

std::uint64_t memory_in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

class Run {
 public:
  Run(std::uint64_t files, std::uint64_t directories) : files_(files), directories_(directories) {}
  int run(const char* journal_directory);

 private:
  void commit() {
    if (journal_ == nullptr) return;
    names_->log_changes();
    journal_->commit();
    if (++commits_ % 64 == 0) loop_.turn(0);  // room is made ahead
  }
  const Inode& directory(std::uint64_t file) const {
    return *names_->find(numbers_[file % directories_]);
  }
  void make(std::uint64_t file) {
    Inode* const inode = *names_->make(S_IFREG | 0644, 1000, 1000);
    names_->insert(directory(file), name_of(file), {inode->number, S_IFREG});
    commit();
  }
  void remove(std::uint64_t file) {
    const Inode& parent = directory(file);
    const std::uint64_t inode = names_->entry(parent, name_of(file))->inode;
    names_->remove(parent, name_of(file));
    --names_->change(inode)->links;
    names_->erase(inode);
    commit();
  }
  bool open(const char* directory);
  std::unique_ptr<Journal> read(Namespace& names, const char* directory);

  std::uint64_t files_;
  std::uint64_t directories_;
  std::vector<std::uint64_t> numbers_;
  EventLoop loop_;
  std::unique_ptr<Uring> uring_;
  std::unique_ptr<Namespace> names_ = std::make_unique<Namespace>(0, 1, 0);
  std::unique_ptr<Journal> journal_;
  std::uint64_t commits_ = 0;
};

std::unique_ptr<Journal> Run::read(Namespace& names, const char* directory) {
  JournalOptions options;
  options.directory = directory;
  options.snapshot_after_bytes = UINT64_MAX;
  NamesSink sink(names);
  std::string why;
  auto journal = Journal::open(loop_, *uring_, options, sink, why);
  if (journal.ok()) return *std::move(journal);
  std::fprintf(stderr, "%s\n", why.c_str());
  return nullptr;
}

int Run::run(const char* journal_directory) {
  if (journal_directory != nullptr) {
    auto uring = Uring::create(loop_, 64, 16);
    if (!uring.ok()) return 1;
    uring_ = *std::move(uring);
    journal_ = read(*names_, journal_directory);
    if (journal_ == nullptr) return 1;
    names_->log_to(*journal_);
  }
  for (std::uint64_t i = 0; i < directories_; ++i) {
    const std::string name = "directory" + std::to_string(i);
    Inode* const made = *names_->make_directory(S_IFDIR | 0755, 1000, 1000, 1, name);
    numbers_.push_back(made->number);
    names_->insert(*names_->find(1), name, {made->number, S_IFDIR});
    commit();
  }
  const std::uint64_t before = memory_in_use();
  const Clock making("make");
  for (std::uint64_t i = 0; i < files_; ++i) make(i);
  making.report(files_, "file");
  std::printf("%-28s %10.1f bytes a file\n", "memory in use",
              static_cast<double>(memory_in_use() - before) / static_cast<double>(files_));
  const Clock changing("remove and make again");
  for (std::uint64_t i = 0; i < files_; i += 10) remove(i);
  for (std::uint64_t i = 0; i < files_; i += 10) make(i);
  changing.report(files_ / 5, "change");
  if (journal_ == nullptr) return 0;

  const std::uint64_t bytes = journal_->log_bytes();
  while (loop_.spawned() != 0) loop_.turn(0);
  journal_.reset();
  names_ = std::make_unique<Namespace>(0, 1, 0);
  const Clock reading("replay");
  journal_ = read(*names_, journal_directory);
  if (journal_ == nullptr) return 1;
  reading.report(journal_->records_recovered(), "record");
  std::printf("%-28s %10.1f bytes a record\n", "log",
              static_cast<double>(bytes) / static_cast<double>(journal_->records_recovered()));
  return names_->size() == files_ + directories_ + 1 ? 0 : 1;
}

}  // namespace
}  // namespace benchfs

int main(int argc, char** argv) {
  const auto files = argc > 2 ? benchfs::parse_number<std::uint64_t>(argv[1]) : std::nullopt;
  const auto directories = argc > 2 ? benchfs::parse_number<std::uint64_t>(argv[2]) : std::nullopt;
  if (!files || !directories || *directories == 0) {
    std::fprintf(stderr, "usage: %s FILES DIRECTORIES [JOURNAL_DIRECTORY]\n", argv[0]);
    return 2;
  }
  return benchfs::Run(*files, *directories).run(argc > 3 ? argv[3] : nullptr);
}
