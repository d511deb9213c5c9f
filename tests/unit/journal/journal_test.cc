#include "daemon/journal/journal.h"

#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "tests/unit/journal/journal_fixture.h"

namespace benchfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

constexpr std::size_t head = sizeof(JournalFileHeader);
constexpr std::size_t overhead = sizeof(FrameHeader) + sizeof(RecordHeader);

TEST_F(JournalTest, BringsBackWhatWasCommittedAndNothingElse) {
  ASSERT_TRUE(open());
  append("a");
  append("bb");
  journal_->commit();
  journal_->commit();  // nothing: no frame
  write("");
  append("never committed");
  EXPECT_EQ(journal_->next_sequence(), 3u);
  ASSERT_TRUE(open());
  EXPECT_THAT(sink_.texts, ElementsAre("a", "bb", ""));
  EXPECT_EQ(journal_->next_sequence(), 3u);
  write("after");
  ASSERT_TRUE(open());
  EXPECT_THAT(sink_.texts, ElementsAre("a", "bb", "", "after"));
}

TEST_F(JournalTest, CutsATailThatIsTornAtAnyByteAndSaysWhatItCut) {
  ASSERT_TRUE(open());
  write("first");
  write("second");
  write("the last one");
  close();
  const std::string whole = read(file("log.1"));
  const std::size_t last = head + 2 * padded(overhead + 6);
  const std::size_t end = last + overhead + 12;
  ASSERT_EQ(whole.find("the last one"), end - 12);
  for (std::size_t cut = last; cut < end; ++cut) {
    std::string torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
    replace(file("log.1"), torn);
    CaptureStderr();
    ASSERT_TRUE(open()) << why_;
    const std::string said = GetCapturedStderr();
    EXPECT_THAT(sink_.texts, ElementsAre("first", "second")) << cut;
    std::size_t left = cut;
    while (left > last && torn[left - 1] == '\0') --left;
    if (left > last) {
      EXPECT_THAT(said, HasSubstr("cut " + std::to_string(left - last) + " bytes at offset " +
                                  std::to_string(last) + " of " + file("log.1")));
    } else {
      EXPECT_EQ(said, "");
    }
    write("in its place");
    ASSERT_TRUE(open()) << why_;
    EXPECT_THAT(sink_.texts, ElementsAre("first", "second", "in its place"));
    close();
  }
}

// The stores of a commit come in this order: payload, header, checksum.
TEST_F(JournalTest, CutsAFrameWhoseHeaderWasNotWrittenYet) {
  ASSERT_TRUE(open());
  write("first");
  write("half");
  close();
  const std::string whole = read(file("log.1"));
  const std::size_t last = head + padded(overhead + 5);
  for (std::size_t missing = 1; missing <= sizeof(FrameHeader); ++missing) {
    std::string torn = whole;
    std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(last), missing, '\0');
    replace(file("log.1"), torn);
    ASSERT_TRUE(open()) << why_;
    EXPECT_THAT(sink_.texts, ElementsAre("first"));
    close();
    EXPECT_EQ(read(file("log.1")).find("half"), std::string::npos);
  }
}

TEST_F(JournalTest, RefusesDamageInTheMiddleAndSaysWhere) {
  ASSERT_TRUE(open());
  write("first");
  write("second");
  write("third");
  close();
  const std::string whole = read(file("log.1"));
  const std::size_t second = head + padded(overhead + 5);
  for (std::size_t at = second; at < second + overhead + 6; ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    replace(file("log.1"), damaged);
    EXPECT_FALSE(open()) << at;
    EXPECT_THAT(why_, HasSubstr(file("log.1") + " is damaged at offset " + std::to_string(second)));
    EXPECT_EQ(read(file("log.1")), damaged);  // for whoever looks into it
  }
}

TEST_F(JournalTest, RefusesARecordItDoesNotKnow) {
  ASSERT_TRUE(open());
  write("known");
  journal_->append(RecordType::answer, std::span<const std::byte>{});
  journal_->commit();
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("damaged at offset " +
                              std::to_string(head + padded(overhead + 5) + sizeof(FrameHeader))));
}

TEST_F(JournalTest, GoesOnInSegmentsThatGrow) {
  options_.first_segment_bytes = 4 << 10;
  options_.segment_bytes_max = 16 << 10;
  ASSERT_TRUE(open());
  std::vector<std::string> written;
  for (int i = 0; i < 2000; ++i) {
    written.push_back("record " + std::to_string(i) +
                      std::string(static_cast<std::size_t>(i % 97), 'x'));
    append(written.back());
    if (i % 3 == 0) journal_->commit();
    if (i % 7 == 0) loop_.turn(0);
  }
  journal_->commit();
  const std::size_t logs = files();
  EXPECT_GT(logs, 8u);
  ASSERT_TRUE(open()) << why_;
  EXPECT_EQ(sink_.texts, written);
  write("one more");
  written.emplace_back("one more");
  ASSERT_TRUE(open()) << why_;
  EXPECT_EQ(sink_.texts, written);
}

TEST_F(JournalTest, TakesAFrameLargerThanASegment) {
  options_.first_segment_bytes = 4 << 10;
  options_.segment_bytes_max = 8 << 10;
  ASSERT_TRUE(open());
  write("small");
  const std::string large(50'000, 'l');
  append("with it");
  write(large);
  write("small again");
  ASSERT_TRUE(open()) << why_;
  EXPECT_THAT(sink_.texts, ElementsAre("small", "with it", large, "small again"));
}

TEST_F(JournalTest, RefusesALogThatIsMissingInTheMiddleOrDamagedBeforeTheNext) {
  options_.first_segment_bytes = options_.segment_bytes_max = 4 << 10;
  ASSERT_TRUE(open());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(run(journal_->make_room(1000)).ok());  // so that no number is left out
    write("some forty bytes that fill the segment up");
  }
  close();
  const std::string second = read(file("log.2"));
  ASSERT_TRUE(std::filesystem::exists(file("log.4")));
  std::string damaged = second;
  damaged[second.size() - 2000] ^= 1;
  replace(file("log.2"), damaged);
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.2 is damaged at offset "));
  // The last frame alone: it would be a torn tail, did log.3 not follow.
  damaged = second;
  damaged[damaged.rfind("up") + 1] ^= 1;
  replace(file("log.2"), damaged);
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.2 is damaged at offset "));
  // Clean, but frames are missing.
  damaged = second;
  std::fill(damaged.begin() + 2000, damaged.end(), '\0');
  replace(file("log.2"), damaged.substr(0, head) + std::string(damaged.size() - head, '\0'));
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.3 is damaged at offset 0: it begins with frame"));
  std::filesystem::remove(file("log.2"));
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.3 is damaged at offset 0: it begins with frame"));
  replace(file("log.2"), second);
  std::filesystem::remove(file("log.1"));
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.1 is damaged at offset 0: it is missing"));
}

TEST_F(JournalTest, WipesWhatAnotherInstanceLeft) {
  ASSERT_TRUE(open());
  write("theirs");
  options_.identity.instance = {std::byte{2}};
  ASSERT_TRUE(open());
  EXPECT_TRUE(sink_.texts.empty());
  write("ours");
  ASSERT_TRUE(open());
  EXPECT_THAT(sink_.texts, ElementsAre("ours"));
  EXPECT_EQ(files(), 1u);
}

TEST_F(JournalTest, RefusesADamagedFileHeader) {
  ASSERT_TRUE(open());
  write("first");
  close();
  std::string damaged = read(file("log.1"));
  damaged[9] ^= 1;
  replace(file("log.1"), damaged);
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("log.1 is damaged at offset 0"));
}

TEST_F(JournalTest, SaysSoWhenItsDirectoryCannotBeMade) {
  options_.directory = directory_ + "/missing/journal";
  EXPECT_FALSE(open());
  EXPECT_THAT(why_, HasSubstr("Cannot keep a journal in " + options_.directory));
}

class FullDevice final : public SegmentFiles {
 public:
  FullDevice(Uring& uring, int directory, const bool& full)
      : files_(uring, directory), full_(full) {}
  Task<Result<Fd>> make(std::string name, std::uint64_t bytes) override {
    if (full_) co_return Error(ENOSPC);
    co_return co_await files_.make(std::move(name), bytes);
  }
  Result<Fd> make_now(const std::string& name, std::uint64_t bytes) override {
    if (full_) return Error(ENOSPC);
    return files_.make_now(name, bytes);
  }

 private:
  UringSegmentFiles files_;
  const bool& full_;
};

TEST_F(JournalTest, SaysNoSpaceBeforeAnythingIsAppendedAndGoesOnWhenThereIsSome) {
  options_.first_segment_bytes = options_.segment_bytes_max = 8 << 10;
  bool full = false;
  std::filesystem::create_directory(options_.directory);
  const Fd directory(sys::openat(AT_FDCWD, options_.directory.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(open(std::make_unique<FullDevice>(*uring_, directory.get(), full)));
  full = true;
  std::vector<std::string> written;
  const std::string text(100, 't');
  Status room = Done{};
  while ((room = run(journal_->make_room(1000))).ok()) {
    write(text);
    written.push_back(text);
    ASSERT_LT(written.size(), 100u);
  }
  EXPECT_EQ(room.error(), Error(ENOSPC));
  EXPECT_GT(written.size(), 40u);
  EXPECT_TRUE(journal_->has_room(200));  // what makes room may still be logged
  write("freed");
  written.emplace_back("freed");
  full = false;
  EXPECT_TRUE(run(journal_->make_room(1000)).ok());
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(run(journal_->make_room(1000)).ok());
    write(text);
    written.push_back(text);
  }
  ASSERT_TRUE(open()) << why_;
  EXPECT_EQ(sink_.texts, written);
}

TEST_F(JournalTest, EndsTheServerRatherThanLoseWhatWasChanged) {
  options_.first_segment_bytes = options_.segment_bytes_max = 8 << 10;
  bool full = false;
  std::filesystem::create_directory(options_.directory);
  const Fd directory(sys::openat(AT_FDCWD, options_.directory.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(open(std::make_unique<FullDevice>(*uring_, directory.get(), full)));
  write("kept");
  full = true;
  EXPECT_DEATH(write(std::string(9000, 'x')), "no room for the journal");
}

// What an earlier process wrote included, which need not have waited either.
TEST_F(JournalTest, GoesToTheDeviceForOneWhoAsks) {
  options_.first_segment_bytes = options_.segment_bytes_max = 8 << 10;
  ASSERT_TRUE(open());
  const auto fill = [this] {
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(run(journal_->make_room(1000)).ok());
      write(std::string(500, 'd'));
    }
  };
  struct statfs kind {};
  ASSERT_EQ(::statfs(directory_.c_str(), &kind), 0);
  const bool in_memory = kind.f_type == TMPFS_MAGIC;
  fill();
  EXPECT_TRUE(run(journal_->synced()).ok());
  EXPECT_EQ(journal_->is_on_device(), in_memory);
  ASSERT_TRUE(open());
  EXPECT_EQ(journal_->is_on_device(), in_memory);
  EXPECT_EQ(journal_->unsynced_segments() == 0, in_memory);
  EXPECT_TRUE(run(journal_->on_device()).ok());
  EXPECT_TRUE(journal_->is_on_device());
  EXPECT_EQ(journal_->unsynced_segments(), 0u);
  fill();
  EXPECT_EQ(journal_->is_on_device(), in_memory);
  EXPECT_EQ(journal_->unsynced_segments() == 0, in_memory);
  EXPECT_TRUE(run(journal_->on_device()).ok());
  EXPECT_TRUE(journal_->is_on_device());
}

TEST_F(JournalTest, SyncsForAllWhoWaitAtOnce) {
  options_.sync = true;
  options_.first_segment_bytes = options_.segment_bytes_max = 8 << 10;
  ASSERT_TRUE(open());
  EXPECT_TRUE(run(journal_->synced()).ok());  // nothing to sync
  std::vector<std::optional<Status>> done(200);
  const auto waiter = [](Journal* journal, std::optional<Status>* status) -> Task<int> {
    status->emplace(co_await journal->synced());
    co_return 0;
  };
  for (auto& status : done) {
    write(std::string(100, 's'));
    loop_.spawn(waiter(journal_.get(), &status));
  }
  EXPECT_FALSE(done.back().has_value());
  turn_until([&] { return loop_.spawned() == 0; });
  for (const auto& status : done) EXPECT_TRUE(status.has_value() && status->ok());
}

}  // namespace
}  // namespace benchfs
