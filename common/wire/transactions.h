// Changes on several servers.
#pragma once

#include <cstdint>

#include "common/wire/names.h"

namespace benchfs::wire {

// A change on several servers: what it does at one rank is a list of steps.
enum class TransactionKind : std::uint32_t {
  make_directory = 0,
  remove_directory = 1,
  unlink = 2,
  link = 3,
  rename_file = 4,
  rename_directory = 5,
  replace_file = 6,       // rename over a file or a symlink
  replace_directory = 7,  // rename over an empty directory
  exchange = 8,
  split = 9,  // of a directory
};
inline constexpr std::uint32_t transaction_kinds = 10;

enum class StepKind : std::uint32_t {
  set_entry = 1,         // (inode, name) is to lead to `value` of `type`, or nowhere; now: `holds`
  add_links = 2,         // `links` names more of `inode`; 0: it was renamed
  make_directory = 3,    // named `name` in directory `value`, with mode `type`
  remove_directory = 4,  // `inode` is to go, if it is empty and has `holds` parts
  move_directory = 5,    // `inode` is to be `name` in directory `value`
  make_part = 6,         // `inode`, which was filled, is to be a part of directory `value`
  split_off = 7,  // what `inode` has from cookie `holds` on is in part `value`, of depth `type`
  add_part = 8,   // `inode` is to know that part
};
struct Step {  // the name follows; the next step begins right after
  std::uint64_t inode;
  std::uint64_t holds;
  std::uint64_t value;
  StepKind kind;
  std::uint32_t type;  // S_IFMT bits; make_directory: mode
  std::uint32_t gid;
  std::int32_t links;
  std::uint32_t name_bytes;
  std::uint32_t reserved;
};
static_assert(Struct<Step> && sizeof(Step) == 48);

enum class Refusal : std::uint32_t {
  none = 0,
  other_entry = 1,  // a name does not hold what the steps expect
  locked = 2,       // it would have to wait for another change
};
struct PrepareReply {
  Attributes attributes;  // of the inode that is made, or gets or loses a name; else zeros
  std::uint64_t found;    // refused: what the name holds
  std::uint32_t found_type;
  Refusal refused;     // then nothing is prepared
  std::uint32_t step;  // which one
  std::uint32_t reserved;
};
struct Prepare {  // the steps follow
  static constexpr Op op = Op::prepare;
  using Reply = PrepareReply;
  std::uint64_t counter;  // with the coordinator's rank: whose change
  std::uint32_t coordinator;
  TransactionKind kind;
  std::uint32_t steps;
  std::uint32_t uid;      // the caller's
  std::uint32_t at_once;  // 1: to be refused rather than to wait for locks
  std::uint32_t reserved;
};
static_assert(Message<Prepare> && Struct<PrepareReply>);

struct Decide {
  static constexpr Op op = Op::decide;
  using Reply = Nothing;
  std::uint64_t counter;
  std::uint32_t coordinator;
  std::uint32_t commit;  // 0: forget it
  std::int64_t time;     // of the change
};
static_assert(Message<Decide>);

enum class Decision : std::uint32_t { pending = 0, aborted = 1, committed = 2 };
struct OutcomeReply {
  std::int64_t time;
  Decision decision;
  std::uint32_t reserved;
};
struct Outcome {
  static constexpr Op op = Op::outcome;
  using Reply = OutcomeReply;
  std::uint64_t counter;
};
static_assert(Message<Outcome> && Struct<OutcomeReply>);

enum class TicketAction : std::uint32_t {
  take = 1,  // at rank 0: wait for it
  give = 2,  // at rank 0: done with it
  held = 3,  // by rank 0: do you still have it? id 0: or any
};
struct RenameTicketReply {
  std::uint64_t id;  // held: the one asked about, or any; 0: no
};
struct RenameTicket {
  static constexpr Op op = Op::rename_ticket;
  using Reply = RenameTicketReply;
  std::uint64_t id;  // the holder's, never 0
  std::uint32_t holder;
  TicketAction action;
};
static_assert(Message<RenameTicket>);

}  // namespace benchfs::wire
