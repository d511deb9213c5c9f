// Observations: what stat shows, in a form that is equal on two file systems that keep the same
// promises. Inode numbers become numbers in the order of their appearance; times that the clock
// gave become the number of the step in which they were given.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

namespace model {

// Into a worker's text, for the coordinator to find.
std::string raw(const struct stat& status);
std::string raw_inode(std::uint64_t inode);
std::string raw_begin(std::int64_t time_ns, std::uint64_t step);  // of a step

class Observer {
 public:
  explicit Observer(bool atimes) : atimes_(atimes) {}
  // The text with every raw observation replaced.
  std::string translate(std::string_view text);

 private:
  std::string of_stat(std::string_view numbers);
  std::uint64_t number_of(std::uint64_t inode);
  std::string time(std::int64_t when) const;

  bool atimes_;
  std::unordered_map<std::uint64_t, std::uint64_t> numbers_;
  std::map<std::int64_t, std::uint64_t> steps_;  // by the time they began
};

}  // namespace model
