#include "tests/model/observation.h"

#include <stdio.h>

#include <iterator>

#include "tests/model/steps.h"

namespace model {
namespace {

constexpr char stat_begin = '\x01';
constexpr char inode_begin = '\x02';
constexpr char step_begin = '\x04';
constexpr char end = '\x03';

std::int64_t ns(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

std::string raw(const struct stat& status) {
  char text[200];
  std::snprintf(text, sizeof text, "%c%llu %u %llu %lld %lld %lld %lld%c", stat_begin,
                static_cast<unsigned long long>(status.st_ino), status.st_mode,
                static_cast<unsigned long long>(status.st_nlink),
                static_cast<long long>(status.st_size), static_cast<long long>(ns(status.st_atim)),
                static_cast<long long>(ns(status.st_mtim)),
                static_cast<long long>(ns(status.st_ctim)), end);
  return text;
}

std::string raw_inode(std::uint64_t inode) { return inode_begin + std::to_string(inode) + end; }

std::string raw_begin(std::int64_t time_ns, std::uint64_t step) {
  return step_begin + std::to_string(time_ns) + " " + std::to_string(step) + end;
}

std::uint64_t Observer::number_of(std::uint64_t inode) {
  return numbers_.try_emplace(inode, numbers_.size() + 1).first->second;
}

std::string Observer::time(std::int64_t when) const {
  if (when < explicit_end_ns) return std::to_string(when);
  const auto after = steps_.upper_bound(when);
  if (after == steps_.begin()) return "@start";
  return "@" + std::to_string(std::prev(after)->second);
}

std::string Observer::of_stat(std::string_view numbers) {
  unsigned long long inode = 0, links = 0;
  unsigned mode = 0;
  long long size = 0, accessed = 0, modified = 0, changed = 0;
  if (std::sscanf(std::string(numbers).c_str(), "%llu %u %llu %lld %lld %lld %lld", &inode, &mode,
                  &links, &size, &accessed, &modified, &changed) != 7)
    return "?";
  const std::uint64_t number = number_of(inode);
  const char* const type = S_ISDIR(mode)   ? "dir"
                           : S_ISREG(mode) ? "file"
                           : S_ISLNK(mode) ? "link"
                                           : "other";
  char text[200];
  std::snprintf(text, sizeof text, "#%llu %s %04o n%llu", static_cast<unsigned long long>(number),
                type, mode & 07777U, links);
  std::string line = text;
  // What a directory's size counts is each file system's own affair.
  if (!S_ISDIR(mode)) line += " s" + std::to_string(size);
  if (atimes_ && !S_ISLNK(mode))
    line += " a " + (accessed < explicit_end_ns ? std::to_string(accessed) : "now");
  line += " m " + time(modified);
  line += " c " + time(changed);
  return line;
}

std::string Observer::translate(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t begin = text.find_first_of("\x01\x02\x04");
    out += text.substr(0, begin);
    if (begin == std::string_view::npos) break;
    const std::size_t stop = text.find(end, begin);
    if (stop == std::string_view::npos) break;
    const std::string numbers(text.substr(begin + 1, stop - begin - 1));
    if (text[begin] == stat_begin)
      out += of_stat(numbers);
    else if (text[begin] == inode_begin)
      out += "#" + std::to_string(number_of(std::stoull(numbers)));
    else
      steps_.emplace_hint(steps_.end(), std::stoll(numbers),
                          std::stoull(numbers.substr(numbers.find(' '))));
    text = text.substr(stop + 1);
  }
  return out;
}

}  // namespace model
