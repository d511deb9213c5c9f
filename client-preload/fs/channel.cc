#include "client-preload/fs/channel.h"

#include <sched.h>
#include <sys/socket.h>

#include <bit>
#include <cstring>

#include "common/process.h"

namespace benchfs {
namespace {

constexpr int looks = 100;                      // before the core is offered to others
constexpr std::int64_t slice_ns = 100'000'000;  // between looks at the server's health
constexpr std::int64_t slot_wait_ns = 1'000'000;
constexpr std::int64_t successor_slice_ns = 10'000'000;  // between looks for the next server
// A dying process closes its sockets a moment before it counts as dead.
constexpr int hung_up_looks = 5;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Larger than every one before of this process, what it was before an exec included: servers know a
// request that comes again by it. The low bits say which slot it is in.
std::uint64_t next_request_id(std::uint32_t slot) {
  static std::atomic<std::uint64_t> last{0};
  std::uint64_t before = last.load(std::memory_order_relaxed);
  if (before == 0) {
    const std::uint64_t first = static_cast<std::uint64_t>(sys::now_ns()) / 1024;
    last.compare_exchange_strong(before, first, std::memory_order_relaxed);
  }
  return (last.fetch_add(1, std::memory_order_relaxed) + 1) * slots_per_client + slot;
}

}  // namespace

void Bell::ring() {
  ControlPage& p = page();
  if (p.sleeping.load(std::memory_order_seq_cst) == 0) return;
  if (p.sleeping.exchange(0) == 0) return;
  const std::uint64_t one = 1;
  for (int tries = 0; tries < 2; ++tries) {
    const int fd = doorbell.get();
    if (fd >= 0 && sys::write(fd, &one, sizeof one) == static_cast<ssize_t>(sizeof one)) return;
    if (!repair_(owner_)) break;
  }
  p.sleeping.store(1);  // for the next one who can ring
}

Bell::Server Bell::server(std::uint32_t generation) const {
  const std::uint32_t now = page().generation.load();
  if (now == 0) return Server::ended;
  if (is_alive(page().server.load())) return now == generation ? Server::serves : Server::replaced;
  return is_alive(page().supervisor.load()) ? Server::awaited : Server::ended;
}

Slot* Channel::try_begin() {
  for (Slot& slot : region().slots) {
    if (slot.state.load(std::memory_order_relaxed) != SlotState::free) continue;
    SlotState expected = SlotState::free;
    if (slot.state.compare_exchange_strong(expected, SlotState::filling, std::memory_order_acquire))
      return &slot;
  }
  return nullptr;
}

Slot* Channel::begin() {
  for (int tries = 0;; ++tries) {
    if (Slot* const slot = try_begin()) return slot;
    if (tries < 16) {
      sys::yield();
      continue;
    }
    waiting_for_slot_.fetch_add(1);
    const std::uint32_t seen = slots_freed_.load();
    Slot* const slot = try_begin();
    if (slot == nullptr) sys::futex_wait(&slots_freed_, seen, slot_wait_ns);
    waiting_for_slot_.fetch_sub(1);
    if (slot != nullptr) return slot;
  }
}

void Channel::attached(Place place) {
  client_.store(place.client);
  generation_.store(place.generation);
  tell();  // what other threads posted meanwhile, they told by the number of before
}

void Channel::tell() {
  const std::uint32_t client = client_.load();
  ControlPage& page = bell_.page();
  page.pending[client / 64].fetch_or(std::uint64_t{1} << (client % 64));
  page.summary.fetch_or(std::uint64_t{1} << (client / 64));
  bell_.ring();
}

void Channel::post(Slot& slot, wire::Op op, std::uint32_t rank, std::uint32_t length) {
  const auto index = static_cast<std::uint32_t>(&slot - region().slots.data());
  slot.envelope = {.request_id = next_request_id(index),
                   .process = 0,
                   .client = client_.load(std::memory_order_relaxed),
                   .rank = rank,
                   .op = static_cast<std::uint16_t>(op),
                   .flags = 0,
                   .error = 0,
                   .length = length,
                   .uid = 0};
  slot.sleeper.store(0, std::memory_order_relaxed);
  slot.state.store(SlotState::posted, std::memory_order_release);
  region().posted.fetch_or(1u << index);
  tell();
  posted_.fetch_add(1, std::memory_order_relaxed);
}

bool Channel::look(Slot& slot) {
  // On the server's core nothing happens until it is offered.
  const bool shared = bell_.page().core.load(std::memory_order_relaxed) ==
                      static_cast<std::uint32_t>(::sched_getcpu());
  for (int i = shared || policy_.crowded() ? looks : 0; i < looks; ++i) {
    if (answered(slot)) return true;
    pause();
  }
  if (policy_.sleep_at_once()) return false;
  std::int64_t now = sys::now_ns();
  std::int64_t health = now + slice_ns;
  const std::int64_t end = now + policy_.spin_ns;
  for (;;) {
    sys::yield();
    if (answered(slot)) return true;
    const std::int64_t after = sys::now_ns();
    if (policy_.yielded(after - now)) return false;
    now = after;
    if (policy_.waiting == Waiting::poll) {
      if (now < health) continue;
      if (bell_.server(generation()) != Bell::Server::serves) return false;  // sleep() sees to it
      health = now + slice_ns;
    } else if (now >= end) {
      return false;
    }
  }
}

int Channel::sleep(Slot& slot) {
  slot.sleeper.store(1, std::memory_order_seq_cst);
  std::int64_t slice = slice_ns;
  std::int64_t health = sys::now_ns() + slice;
  int hung_up = 0;
  while (slot.state.load(std::memory_order_seq_cst) != SlotState::answered) {
    sys::futex_wait(&slot.state, static_cast<std::uint32_t>(SlotState::posted), slice);
    if (answered(slot)) break;
    if (sys::now_ns() < health) continue;  // a signal
    const Bell::Server server = bell_.server(generation());
    bool goes_on = true;
    if (server == Bell::Server::serves) {
      hung_up = connected() ? 0 : hung_up + 1;
      goes_on = hung_up < hung_up_looks;
    } else if (server == Bell::Server::replaced) {
      goes_on = attach_again();
    } else if (server == Bell::Server::ended) {
      goes_on = false;
    }
    slice = server == Bell::Server::serves ? slice_ns : successor_slice_ns;
    health = sys::now_ns() + slice;
    if (goes_on) continue;
    if (answered(slot)) break;  // its last act
    dead_.store(true);
    return EIO;
  }
  return 0;
}

bool Channel::attach_again() {
  if (attach_ == nullptr) return false;
  const Status status = attach_(owner_, *this);
  if (status.ok()) return true;
  switch (status.error().code()) {
    case EACCES:
    case EBADF:
    case EMFILE:
    case EPERM:
    case EPROTO:
    case EPROTONOSUPPORT:
    case ESTALE:
    case EUSERS:
      return false;
    default:  // it died in turn, or is just coming up
      return true;
  }
}

wire::Envelope Channel::reply(const Slot& slot) const {
  wire::Envelope reply;
  std::memcpy(&reply, slot.body.data() + Slot::reply_offset(slot.envelope.length), sizeof reply);
  return reply;
}

std::span<const std::byte> Channel::reply_body(const Slot& slot, std::uint32_t length) const {
  const std::size_t offset = Slot::reply_offset(slot.envelope.length) + sizeof(wire::Envelope);
  return std::span(slot.body).subspan(offset, length);
}

bool Channel::connected() const {
  char byte = 0;
  const int fd = socket.get();
  if (fd < 0) return false;
  const long n = sys::call(SYS_recvfrom, fd, sys::pointer(&byte), 1, MSG_PEEK | MSG_DONTWAIT);
  return n == -EAGAIN || n == -EINTR || n > 0;
}

int Channel::wait(Slot& slot) {
  const bool block = policy_.waiting == Waiting::block;
  if (!block && look(slot)) return 0;
  return sleep(slot);
}

void Channel::end(Slot& slot) {
  slot.state.store(SlotState::free, std::memory_order_seq_cst);
  if (waiting_for_slot_.load(std::memory_order_seq_cst) == 0) return;
  slots_freed_.fetch_add(1);
  sys::futex_wake(&slots_freed_, 1);
}

bool Request::add(std::span<const std::byte> bytes) {
  if (bytes.size() > wire::body_bytes_max - length_) return false;
  if (bytes.empty()) return true;
  std::memcpy(slot_->body.data() + length_, bytes.data(), bytes.size());
  length_ += static_cast<std::uint32_t>(bytes.size());
  return true;
}

Status Request::wait() {
  if (const int error = channel_->wait(*slot_); error != 0) {
    slot_ = nullptr;  // the server may still write to it: never used again
    return Error(error);
  }
  const wire::Envelope reply = channel_->reply(*slot_);
  if (reply.error != 0) return Error(reply.error > 0 && reply.error < 4096 ? reply.error : EIO);
  if (reply.length > wire::body_bytes_max) return Error(EIO);
  body_ = channel_->reply_body(*slot_, reply.length);
  redirected_ = (reply.flags & wire::redirected) != 0;
  return Done{};
}

void Request::end() {
  if (slot_ != nullptr) channel_->end(*slot_);
  slot_ = nullptr;
  length_ = 0;
  body_ = {};
  redirected_ = false;
}

}  // namespace benchfs
