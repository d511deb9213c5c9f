// PrivateFd: one long-lived descriptor of the library (a socket, a directory, a doorbell), checked
// before use where its number could have been replaced.
#pragma once

#include <atomic>
#include <cstdint>

#include "client-preload/fs/private_descriptors.h"
#include "client-preload/fs/recently.h"

namespace benchfs {

class PrivateFd {
 public:
  explicit PrivateFd(PrivateDescriptors& privates) : privates_(privates) {}
  ~PrivateFd() { close(); }
  PrivateFd(const PrivateFd&) = delete;
  PrivateFd& operator=(const PrivateFd&) = delete;

  // Takes `fd` over, in place of what was here.
  Status take(Fd fd);
  // The same, unless there is a good one here already.
  Status take_if_missing(Fd fd) { return get() >= 0 ? Status(Done{}) : take(std::move(fd)); }
  // The number to use; -1 when there is none, or somebody closed or replaced it.
  int get() const;
  // The same, believed for some milliseconds after it was looked at.
  int get_lately() const;
  void close();
  // The application wants the number `fd`: if it is this one, go elsewhere.
  void leave(int fd);

 private:
  struct Identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  static Identity identity_of(int fd);

  PrivateDescriptors& privates_;
  std::atomic<int> number_{-1};
  Identity identity_;
  mutable Recently seen_{};
};

}  // namespace benchfs
