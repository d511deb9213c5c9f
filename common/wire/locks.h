// Locks of files.
#pragma once

#include <cstdint>

#include "common/wire/base.h"

namespace benchfs::wire {

// Locks. What flock(2) sets and what fcntl(2) sets do not see each other.
enum class LockSpace : std::uint8_t { whole = 1, ranges = 2 };
enum class LockKind : std::uint8_t { unlocked = 0, shared = 1, exclusive = 2 };
enum class LockOwnerKind : std::uint32_t {
  process = 1,      // `id` is a ProcessId
  description = 2,  // an open file description; `id` is the position of its slot
};
inline constexpr std::uint64_t lock_last_max = INT64_MAX;

struct LockOwner {
  std::uint64_t id;
  std::uint32_t host;  // the leader's rank
  LockOwnerKind kind;
  friend bool operator==(const LockOwner&, const LockOwner&) = default;
};
static_assert(Struct<LockOwner> && sizeof(LockOwner) == 16);

enum LockFlag : std::uint16_t {
  lock_wait = 1,      // queue it if it cannot be had now
  lock_test = 2,      // only say what is in the way
  lock_withdraw = 4,  // end the wait of this rank and ticket
};
enum class LockState : std::uint16_t { granted = 0, queued = 1 };

struct LockReply {
  std::uint64_t ticket;  // queued: names the wait
  std::uint64_t start;   // test: of the lock in the way
  std::uint64_t last;
  std::int32_t pid;  // its process, -1: an open file description's
  LockKind kind;     // unlocked: nothing is in the way
  std::uint8_t reserved;
  LockState state;
};
struct Lock {
  static constexpr Op op = Op::lock;
  using Reply = LockReply;
  std::uint64_t inode;
  std::uint64_t start;   // first byte
  std::uint64_t last;    // last byte, at most lock_last_max
  std::uint64_t slot;    // position of the open file description it is asked through
  LockOwner owner;       // clients say the kind, their host's server the rest
  std::uint64_t ticket;  // of a wait, given by the host's server `rank`
  std::uint32_t rank;
  LockSpace space;
  LockKind kind;
  std::uint16_t flags;  // LockFlag
};
static_assert(Message<Lock> && Struct<LockReply> && sizeof(Lock) == 64 && sizeof(LockReply) == 32);

// The client was woken, or a signal came: says what became of the wait (0, EINTR: withdrawn,
// EDEADLK, EIO, …) and ends it. ESTALE: there is no such wait, ask anew.
struct EndLockWait {
  static constexpr Op op = Op::end_lock_wait;
  using Reply = Nothing;
  std::uint64_t ticket;
};
static_assert(Message<EndLockWait>);

struct AwaitLock {  // a slow answer; ESTALE: there is no such wait
  static constexpr Op op = Op::await_lock;
  using Reply = Nothing;
  std::uint64_t ticket;
  std::uint64_t rank;
};
static_assert(Message<AwaitLock>);

struct LockWaitOf {  // a wait, and whose
  std::uint64_t inode;
  std::uint64_t ticket;
  std::uint64_t rank;
};
struct LockOwnerReply {  // `waits` LockWaitOf follow: what a process waits for
  std::uint32_t lives;
  std::uint32_t waits;
};
struct AskLockOwner {
  static constexpr Op op = Op::lock_owner;
  using Reply = LockOwnerReply;
  LockOwner owner;
};
static_assert(Message<AskLockOwner> && Struct<LockOwnerReply> && Struct<LockWaitOf>);

struct LockBlockersReply {  // `owners` LockOwner follow
  std::int64_t since;       // when the wait began; 0: there is no such wait (any more)
  std::uint32_t owners;
  std::uint32_t reserved;
};
struct LockBlockers {
  static constexpr Op op = Op::lock_blockers;
  using Reply = LockBlockersReply;
  LockWaitOf wait;
  std::uint64_t recheck;  // 1: it is the youngest of a circle of waits; see for yourself
};
static_assert(Message<LockBlockers> && Struct<LockBlockersReply>);

struct HeldLocksReply {  // `locks` HeldLockOf follow
  std::uint64_t next;    // cursor to go on with; 0: that was all
  std::uint64_t locks;
};
struct HeldLockOf {
  std::uint64_t inode;
  std::uint64_t start;
  std::uint64_t last;
  std::uint64_t owner;
  LockOwnerKind owner_kind;
  LockSpace space;
  LockKind kind;
  std::uint16_t reserved;
};
struct AskHeldLocks {
  static constexpr Op op = Op::held_locks;
  using Reply = HeldLocksReply;
  std::uint64_t cursor;
  std::uint64_t rank;  // of inodes at home there
};
static_assert(Message<AskHeldLocks> && Struct<HeldLocksReply> && sizeof(HeldLockOf) == 40 &&
              Struct<HeldLockOf>);

}  // namespace benchfs::wire
