// Channel: this process's request slots at one server of the host, and how to wait for an answer.
//
// When the server's process dies its supervisor starts another. The slots stay, with what was
// posted in them; one of the threads that wait hands them to the new server, and all go on waiting.
//
// Any thread, and any signal handler within one: no lock is held while a request is under way. A
// thread may have several requests out at once; it must then never wait for a free slot while it
// has answers to collect (try_begin).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "client-preload/fs/private_fd.h"
#include "client-preload/fs/wait_policy.h"
#include "common/ring.h"
#include "common/shared_memory.h"

namespace benchfs {

// A server's control page and doorbell: the same for all its clients, so good after fork too.
class Bell {
 public:
  // `repair` gets a new doorbell when the descriptor was closed behind our back.
  Bell(PrivateDescriptors& privates, bool (*repair)(void*), void* owner)
      : doorbell(privates), repair_(repair), owner_(owner) {}

  // Wakes the server if it sleeps. Before it, what it is to find must be stored (seq_cst).
  void ring();
  enum class Server {
    serves,
    replaced,  // by one that does not know this channel yet
    awaited,   // it died, and there will be another
    ended,
  };
  // As seen by a channel that got into the server of `generation`. Costs looks into /proc.
  Server server(std::uint32_t generation) const;

  ControlPage& page() const { return control.at<ControlPage>(); }

  Mapping control;
  PrivateFd doorbell;

 private:
  bool (*repair_)(void*);
  void* owner_;
};

class Channel {
 public:
  // Greets the server of now with the channel's region, unless another thread has just done so.
  using Attach = Status (*)(void* owner, Channel&);

  // A server of `generation` calls this process `client`, and has the region.
  struct Place {
    std::uint32_t client;
    std::uint32_t generation;
  };
  Channel(Mapping region, Bell& bell, PrivateDescriptors& privates, Place place, WaitPolicy& policy,
          Attach attach, void* owner)
      : region_(std::move(region)),
        bell_(bell),
        attach_(attach),
        owner_(owner),
        socket(privates),
        memory(privates),
        client_(place.client),
        generation_(place.generation),
        policy_(policy) {}
  void attached(Place place);  // to another server than before
  std::uint32_t generation() const { return generation_.load(); }

  // A slot to fill; null when all are taken.
  Slot* try_begin();
  Slot* begin();
  // Sends what was filled in: `length` bytes of the body.
  void post(Slot& slot, wire::Op op, std::uint32_t rank, std::uint32_t length);
  // 0, or EIO when the server has ended for good (the slot is lost then, and so is the channel).
  int wait(Slot& slot);
  // The answer in a slot, when wait() said 0.
  wire::Envelope reply(const Slot& slot) const;
  std::span<const std::byte> reply_body(const Slot& slot, std::uint32_t length) const;
  // Gives a slot back, answered or never posted.
  void end(Slot& slot);

  // No new requests here: the server has ended, or another channel took this one's place.
  bool dead() const { return dead_.load(std::memory_order_relaxed); }
  void retire() { dead_.store(true); }
  std::uint64_t posted() const { return posted_.load(std::memory_order_relaxed); }

 private:
  static bool answered(const Slot& slot) {
    return slot.state.load(std::memory_order_acquire) == SlotState::answered;
  }
  bool look(Slot& slot);  // true: answered
  int sleep(Slot& slot);
  bool attach_again();     // false: there is no use in trying again
  bool connected() const;  // neither side closed the socket
  void tell();             // the server, that something is posted
  ClientRegion& region() const { return region_.at<ClientRegion>(); }

  Mapping region_;
  Bell& bell_;
  const Attach attach_;
  void* const owner_;

 public:
  PrivateFd socket;  // its end tells the server that this process no longer listens
  PrivateFd memory;  // the region's

 private:
  std::atomic<std::uint32_t> client_;
  std::atomic<std::uint32_t> generation_;
  WaitPolicy& policy_;
  std::atomic<bool> dead_{false};
  std::atomic<std::uint32_t> waiting_for_slot_{0};
  std::atomic<std::uint32_t> slots_freed_{0};  // futex
  std::atomic<std::uint64_t> posted_{0};
};

// A request from begin to end: owns its slot.
class Request {
 public:
  Request() = default;
  ~Request() { end(); }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void begin(Channel& channel) {
    end();
    channel_ = &channel;
    slot_ = channel.begin();
  }
  bool try_begin(Channel& channel) {
    end();
    channel_ = &channel;
    slot_ = channel.try_begin();
    return slot_ != nullptr;
  }
  // Parts of the body, one after the other. False: too long.
  bool add(std::span<const std::byte> bytes);
  void post(wire::Op op, std::uint32_t rank) { channel_->post(*slot_, op, rank, length_); }
  // Waits, and checks the answer. Its body is then in body(), until end().
  Status wait();
  bool redirected() const { return redirected_; }
  std::span<const std::byte> body() const { return body_; }
  void end();

 private:
  Channel* channel_ = nullptr;
  Slot* slot_ = nullptr;
  std::uint32_t length_ = 0;  // of the request
  std::span<const std::byte> body_;
  bool redirected_ = false;
};

}  // namespace benchfs
