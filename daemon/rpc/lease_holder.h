// LeaseHolder: what the leader of a host does with the leases its host gets from ranks elsewhere.
// It shows them to the host's clients and drops them when their home recalls them.
//
// Messages overtake each other. Recalls to a host are numbered, and leases carry the number of the
// last recall before them: one that names what a later recall named was on its way then, and is
// not shown. doc/semantics.md says why this is enough.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "common/host_view.h"
#include "common/lease_messages.h"
#include "common/result.h"

namespace benchfs {

class LeaseHolder {
 public:
  // `view` is empty.
  LeaseHolder(LeasedView& view, std::uint32_t ranks);

  // Takes the list of leases off the end of a reply of `home`, and shows them. The request was sent
  // after `asked_ns` (CLOCK_MONOTONIC). EBADMSG: it cannot be parsed.
  Status take(std::uint32_t home, std::int64_t asked_ns, std::vector<std::byte>& reply);
  // After it no client finds what the recall names.
  void recall(std::uint32_t home, const wire::RecallLeases& recall,
              std::span<const wire::LeaseKey> keys);
  // Whether it shows an inode that has a name. What becomes of one, or of all of a home, that is to
  // be shown no more is told by on_dropped and on_all_dropped.
  bool shows(std::uint64_t inode) const;
  std::function<void(std::uint64_t inode)> on_dropped;
  std::function<void(std::uint32_t home)> on_all_dropped;
  // A client of this host read the file then, which its home does not take the lease back for.
  void note_access(std::uint64_t inode, std::int64_t accessed);
  // It did not answer: nothing of it is used until it has answered again.
  void lost(std::uint32_t home) { view_.good_until[home].store(0); }

 private:
  struct Recalled {
    std::uint64_t number;
    wire::LeaseKey key;
  };
  struct Home {
    std::uint64_t epoch = 0;
    std::uint64_t forgotten = 0;    // leases given before this recall are too old to be judged
    std::deque<Recalled> recent{};  // by number
    bool shown = false;             // something of it is in the view, perhaps
  };

  bool enter(std::uint32_t home, std::uint64_t epoch);
  bool was_recalled(const Home& home, std::uint64_t number, const wire::LeaseKey& key) const;
  void drop_all(std::uint32_t home);
  void note(const ViewSlot* slot);
  Status show(Home& home, const wire::LeaseList& list, std::span<const std::byte> records);

  LeasedView& view_;
  std::vector<Home> homes_;
  std::vector<bool> pages_;  // of the view, that hold anything
};

}  // namespace benchfs
