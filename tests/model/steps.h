// The steps of the model test: what each of several processes does, one after the other, decided by
// a seed alone. Every process makes the same list for itself.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace model {

// Not the standard library's: the same numbers everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t end) { return next() % end; }  // end > 0
  bool percent(unsigned chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

// What not every file system has.
struct Features {
  bool exchange = false;  // RENAME_EXCHANGE
  bool xattr = false;     // user.*
  bool tmpfile = false;   // O_TMPFILE
  bool path = false;      // O_PATH
  bool atime = false;     // access times, as relatime keeps them
  bool removed = false;   // a removed directory that is open can be looked at
  bool omit = false;      // utimens of neither time succeeds without a look
  bool slash = false;     // open that creates answers EISDIR to a trailing slash
};
Features parse_features(const std::string& names);  // separated by commas
std::string names_of(const Features& features);

enum class Kind {
  open,
  close,
  duplicate,
  read,
  pread,
  write,
  pwrite,
  seek,
  set_flags,
  truncate_fd,
  stat_fd,
  chmod_fd,
  times_fd,
  sync,
  list_fd,
  stat,
  lstat,
  access,
  read_link,
  link,
  symlink,
  unlink,
  make_directory,
  remove_directory,
  rename,
  chmod,
  times,
  truncate,
  list,
  set_xattr,
  get_xattr,
  list_xattr,
  remove_xattr,
  link_fd,  // a file without a name gets one
  fork,     // the next `count` steps are done by a child, which then ends
};

constexpr int slots = 4;      // descriptors of a process
constexpr int inherited = 2;  // slots filled before the processes are forked
constexpr int working = -1;   // instead of a slot: relative to the working directory

struct Step {
  std::uint64_t number = 0;
  unsigned process = 0;
  Kind kind = Kind::stat;
  int slot = 0;         // descriptor used, or where the new one goes
  int base = working;   // slot of the directory that `path` starts at
  int base2 = working;  // the same for path2
  std::string path;     // begins with "@/": absolute, the directory of the test in place of "@"
  std::string path2;    // or an xattr's name
  int flags = 0;
  mode_t mode = 0;
  off_t offset = 0;
  std::size_t length = 0;
  std::int64_t accessed = 0;  // ns; times_now and times_omit below
  std::int64_t modified = 0;
  unsigned count = 0;
};
constexpr std::int64_t times_now = -1;
constexpr std::int64_t times_omit = -2;
// Times that steps set lie before this, those of the clock after it.
constexpr std::int64_t explicit_end_ns = 1'600'000'000'000'000'000;

class Generator {
 public:
  Generator(std::uint64_t seed, unsigned processes, Features features);
  Step next();

 private:
  Kind choose_kind();
  std::string path();
  int base();
  void fill(Step& step);

  Random random_;
  unsigned processes_;
  Features features_;
  std::vector<std::pair<Kind, unsigned>> weights_;
  unsigned weight_sum_ = 0;
  std::uint64_t number_ = 0;
  unsigned process_ = 0;
  unsigned of_child_ = 0;  // steps that a child has still to do
};

// "rename 2:a/b c": for the output.
std::string describe(const Step& step);

}  // namespace model
