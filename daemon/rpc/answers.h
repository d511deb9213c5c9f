// Answers: what clients were told of their changes, for when they ask again because a server ended
// before they heard it. A change is then made once, and answered as the first time.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "common/process.h"
#include "daemon/journal/record.h"
#include "daemon/loop/completion.h"
#include "daemon/rpc/answer.h"

namespace benchfs {

// A client: a process of a host. A process sends what is for one rank through one channel, whose
// slots are the low bits of a request's id; who uses a slot again has the answer before.
struct ClientKey {
  std::uint32_t host = 0;
  ProcessId process = 0;
  friend bool operator==(const ClientKey&, const ClientKey&) = default;
  template <class H>
  friend H AbslHashValue(H hash, const ClientKey& key) {
    return H::combine(std::move(hash), key.host, key.process);
  }
};
struct RequestKey {
  ClientKey client;
  std::uint64_t id = 0;
};

class Answers {
 public:
  // Clients that are remembered; then those that asked least recently go.
  explicit Answers(std::size_t most = 65536) : clients_max_(most) {}
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  enum class State {
    fresh,    // the caller is to run it, then to call keep() and finish(), or forget()
    running,  // it came before, and is being served: wait()
    done,     // it was answered: answer()
    stale,    // the client has long gone on: nobody waits for this
  };
  State begin(const RequestKey& request);
  // With the change; it is given to those who ask again after finish().
  void keep(const RequestKey& request, const Answer& answer);
  void finish(const RequestKey& request);
  void forget(const RequestKey& request);  // it changed nothing
  Task<int> wait(EventLoop& loop, RequestKey request);
  Answer answer(const RequestKey& request) const;

  std::size_t clients() const { return clients_.size(); }
  std::size_t bytes() const { return bytes_; }  // of bodies

  static AnswerRecord record_of(const RequestKey& request, const Answer& answer);
  // What the journal says of the time before.
  bool restore(std::span<const std::byte> record);

  // For a snapshot: the clients now, and what each was told.
  std::vector<ClientKey> all() const;
  template <class Visit>  // visit(RequestKey, const Answer&)
  void visit(const ClientKey& key, Visit visit) const {
    const auto found = index_.find(key);
    if (found == index_.end()) return;
    for (const Slot& slot : found->second->slots)
      if (slot.kept) visit(RequestKey{key, slot.id}, slot.answer);
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    bool kept = false;
    bool done = false;
    Answer answer;
    std::unique_ptr<std::vector<Completion*>> waiting;
  };
  struct Client {
    ClientKey key;
    std::vector<Slot> slots;
  };
  Slot* find(const RequestKey& request) const;
  Slot& slot_of(const RequestKey& request);  // made if need be; its client is the most recent
  void make_space();
  static void wake(Slot& slot);

  std::size_t clients_max_;
  std::size_t bytes_ = 0;
  std::list<Client> clients_;  // the most recent first
  absl::flat_hash_map<ClientKey, std::list<Client>::iterator> index_;
};

}  // namespace benchfs
