#include "cli/check_pass.h"

#include <time.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "common/placement.h"
#include "common/sys.h"

namespace benchfs::cli {
namespace {

constexpr int readings_max = 3;
constexpr std::int64_t settle_ns = 2'000'000'000;
constexpr std::int64_t look_ns = 10'000'000;

struct State {
  std::vector<wire::CheckStateReply> ranks;
  std::vector<std::string> names;  // of a locked entry

  bool under_way() const {
    return std::ranges::any_of(ranks, [](const wire::CheckStateReply& rank) {
      return rank.removals + rank.transactions + rank.locked_names > 0;
    });
  }
  bool same(const State& other) const {
    return std::ranges::equal(ranks, other.ranks, {}, &wire::CheckStateReply::changes,
                              &wire::CheckStateReply::changes);
  }
};

// A pass over all ranks; `asked` is the one that is being asked.
class Reading {
 public:
  Reading(const AskRank& ask, std::uint32_t ranks, std::uint32_t& asked)
      : ask_(ask), ranks_(ranks), asked_(asked) {}

  Result<State> state();
  // What is under way may end first.
  Result<State> settled_state();
  Status read(Consistency& consistency);
  Status ask_sizes(Consistency& consistency);

 private:
  template <wire::Message M>
  Result<std::vector<std::byte>> ask(const M& message, std::string_view text = {}) {
    std::vector<std::byte> body;
    for (const auto part : {wire::bytes_of(message), wire::bytes_of(text)})
      body.insert(body.end(), part.begin(), part.end());
    return ask_(asked_, M::op, body);
  }
  Status read_inodes(Consistency& consistency);
  Status read_entries(Consistency& consistency);
  Status read_chunks(Consistency& consistency);

  const AskRank& ask_;
  const std::uint32_t ranks_;
  std::uint32_t& asked_;
};

// Takes structs and names off the front of an answer.
class Page {
 public:
  explicit Page(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <wire::Struct M>
  Result<M> take() {
    TRY(const M message, wire::parse<M>(rest_));
    rest_ = rest_.subspan(sizeof(M));
    return message;
  }
  Result<std::string_view> text(std::size_t length) {
    TRY(const std::string_view text, wire::text(rest_, 0, length));
    rest_ = rest_.subspan(length);
    return text;
  }
  std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

Result<State> Reading::state() {
  State state;
  for (asked_ = 0; asked_ < ranks_; ++asked_) {
    TRY(const auto bytes, ask(wire::CheckState{}));
    Page page(bytes);
    TRY(const auto reply, page.take<wire::CheckStateReply>());
    TRY(const std::string_view name, page.text(page.left()));
    if (reply.chunk_bytes == 0) return Error(EBADMSG);
    state.ranks.push_back(reply);
    state.names.emplace_back(name);
  }
  return state;
}

Result<State> Reading::settled_state() {
  const std::int64_t deadline = sys::now_ns() + settle_ns;
  for (;;) {
    TRY(State now, state());
    if (!now.under_way() || sys::now_ns() > deadline) return now;
    const timespec pause{.tv_sec = 0, .tv_nsec = look_ns};
    ::nanosleep(&pause, nullptr);
  }
}

Status Reading::read(Consistency& consistency) {
  for (asked_ = 0; asked_ < ranks_; ++asked_) {
    TRY_OK(read_inodes(consistency));
  }
  for (asked_ = 0; asked_ < ranks_; ++asked_) {
    TRY_OK(read_entries(consistency));
  }
  for (asked_ = 0; asked_ < ranks_; ++asked_) {
    TRY_OK(read_chunks(consistency));
  }
  return Done{};
}

Status Reading::read_inodes(Consistency& consistency) {
  for (std::uint64_t counter = 1; counter != 0;) {
    TRY(const auto bytes, ask(wire::CheckInodes{.counter = counter}));
    Page page(bytes);
    TRY(const auto head, page.take<wire::CheckInodesReply>());
    for (std::uint64_t i = 0; i < head.inodes; ++i) {
      TRY(const auto inode, page.take<wire::CheckedInode>());
      TRY(const std::string_view name, page.text(inode.name_bytes));
      consistency.add(asked_, inode, name);
    }
    if (head.next != 0 && head.next <= counter) return Error(EBADMSG);
    counter = head.next;
  }
  return Done{};
}

Status Reading::read_entries(Consistency& consistency) {
  std::string after;
  wire::CheckEntries request{.counter = 1, .cookie = 0, .name_bytes = 0};
  while (request.counter != 0) {
    request.name_bytes = after.size();
    TRY(const auto bytes, ask(request, after));
    Page page(bytes);
    TRY(const auto head, page.take<wire::CheckEntriesReply>());
    wire::CheckedEntry last{};
    std::string_view last_name;
    for (std::uint64_t i = 0; i < head.entries; ++i) {
      TRY(last, page.take<wire::CheckedEntry>());
      TRY(last_name, page.text(last.name_bytes));
      consistency.add(asked_, last, last_name);
    }
    if (head.next != 0 && head.next <= request.counter && head.entries == 0) return Error(EBADMSG);
    const bool same_directory = head.entries > 0 && inode_counter(last.directory) == head.next;
    request.counter = head.next;
    request.cookie = same_directory ? last.cookie : 0;
    after = same_directory ? last_name : std::string_view();
  }
  return Done{};
}

Status Reading::read_chunks(Consistency& consistency) {
  wire::CheckChunks request{.cursor = 0};
  std::uint64_t strangers = 0;
  for (;;) {
    TRY(const auto bytes, ask(request));
    Page page(bytes);
    TRY(const auto head, page.take<wire::CheckChunksReply>());
    for (std::uint32_t i = 0; i < head.chunks; ++i) {
      TRY(const auto chunk, page.take<wire::CheckedChunk>());
      consistency.add(asked_, chunk);
    }
    strangers += head.strangers;
    if (head.end != 0) break;
    request.cursor = head.next;
  }
  consistency.add_strangers(asked_, strangers);
  return Done{};
}

// Beside this, a size that a writer raised is learnt by its home, which is a change.
Status Reading::ask_sizes(Consistency& consistency) {
  for (const std::uint64_t inode : consistency.sizes_to_ask()) {
    asked_ = home_rank(inode);
    const auto bytes = ask(wire::Size{.inode = inode});
    if (!bytes.ok() && bytes.error() == Error(ENOENT)) continue;  // closed, and gone
    if (!bytes.ok()) return bytes.error();
    TRY(const auto reply, wire::parse<wire::SizeReply>(*bytes));
    consistency.learn_size(inode, reply.size);
  }
  return Done{};
}

}  // namespace

Result<CheckReport> check_all(const AskRank& ask, std::uint32_t ranks, std::uint32_t& rank) {
  Reading reading(ask, ranks, rank);
  CheckReport report;
  std::optional<std::vector<Damage>> before;  // of the last quiet reading
  for (int i = 0; i < readings_max; ++i) {
    TRY(const State begin, reading.settled_state());
    Consistency consistency(ranks, begin.ranks.at(0).chunk_bytes);
    TRY_OK(reading.read(consistency));
    TRY(const State end, reading.state());
    report.checked = consistency.checked();
    if (!begin.same(end)) {
      before.reset();
      report.damage = consistency.damage();
      continue;
    }
    TRY_OK(reading.ask_sizes(consistency));
    for (std::uint32_t r = 0; r < ranks; ++r)
      consistency.add_left_over(r, end.ranks[r], end.names[r]);
    report.damage = consistency.damage();
    if (report.damage.empty() || (before && *before == report.damage)) {
      report.quiet = true;
      return report;
    }
    before = report.damage;
  }
  return report;
}

}  // namespace benchfs::cli
