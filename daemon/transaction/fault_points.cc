#include "daemon/transaction/fault_points.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace benchfs {
namespace {

constexpr std::array<const char*, wire::transaction_kinds> kind_names = {
    "make_directory", "remove_directory",  "unlink",   "link", "rename_file", "rename_directory",
    "replace_file",   "replace_directory", "exchange", "split"};
constexpr std::array<const char*, moments> moment_names = {"before_prepared",  "after_prepared",
                                                           "before_committed", "after_committed",
                                                           "before_decided",   "after_decided"};

std::function<void(wire::TransactionKind, Moment)> action;

std::string name_of(wire::TransactionKind kind, Moment moment) {
  return std::string(kind_names.at(static_cast<std::size_t>(kind))) + '.' +
         moment_names.at(static_cast<std::size_t>(moment));
}

void die_if_asked(const std::string& directory, wire::TransactionKind kind, Moment moment) {
  const std::string file = directory + '/' + name_of(kind, moment);
  if (::unlink(file.c_str()) == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace

bool fault_points_armed = false;

std::vector<std::string> fault_points() {
  std::vector<std::string> names;
  for (std::uint32_t kind = 0; kind < wire::transaction_kinds; ++kind)
    for (std::uint32_t moment = 0; moment < moments; ++moment)
      names.push_back(
          name_of(static_cast<wire::TransactionKind>(kind), static_cast<Moment>(moment)));
  return names;
}

void arm_fault_points() {
  const char* const directory = std::getenv("BENCHFS_FAULT");
  if (directory == nullptr || *directory == '\0') return;
  arm_fault_points([directory = std::string(directory)](wire::TransactionKind kind, Moment moment) {
    die_if_asked(directory, kind, moment);
  });
}

void arm_fault_points(std::function<void(wire::TransactionKind, Moment)> act) {
  action = std::move(act);
  fault_points_armed = action != nullptr;
}

void reached(wire::TransactionKind kind, Moment moment) {
  if (static_cast<std::uint32_t>(kind) < wire::transaction_kinds) action(kind, moment);
}

Task<int> reached_later(EventLoop& loop, wire::TransactionKind kind, Moment moment) {
  co_await loop.later();
  reach(kind, moment);
  co_return 0;
}

}  // namespace benchfs
