#include "daemon/transaction/transaction.h"

#include <algorithm>

#include "common/placement.h"

namespace benchfs {
namespace {

bool sensible(const Step& step, std::uint32_t rank, std::uint32_t ranks) {
  const bool named = !step.name.empty() && step.name.find('/') == std::string::npos &&
                     step.name.find('\0') == std::string::npos;
  const bool here = valid_inode(step.inode, ranks) && home_rank(step.inode) == rank;
  switch (step.kind) {
    case wire::StepKind::set_entry:
      return here && named && (step.value == 0 || valid_inode(step.value, ranks));
    case wire::StepKind::add_links:
      return here && step.links >= -1 && step.links <= 1;
    case wire::StepKind::make_directory:
      return named && valid_inode(step.value, ranks);
    case wire::StepKind::remove_directory:
      return here;
    case wire::StepKind::move_directory:
      return here && named && valid_inode(step.value, ranks);
    case wire::StepKind::make_part:
      return here && valid_inode(step.value, ranks);
    case wire::StepKind::split_off:
    case wire::StepKind::add_part:
      return here && valid_inode(step.value, ranks) && step.holds < cookies_end &&
             step.type <= Partition::depth_max;
  }
  return false;
}

}  // namespace

Step set_entry(std::uint64_t directory, std::string_view name, std::uint64_t now, Entry then) {
  Step step;
  step.kind = wire::StepKind::set_entry;
  step.rank = home_rank(directory);
  step.inode = directory;
  step.name = name;
  step.holds = now;
  step.value = then.inode;
  step.type = then.type;
  return step;
}

Step add_links(std::uint64_t inode, std::int32_t links) {
  Step step;
  step.kind = wire::StepKind::add_links;
  step.rank = home_rank(inode);
  step.inode = inode;
  step.links = links;
  return step;
}

Step make_directory(std::uint32_t rank, std::uint64_t parent, std::string_view name,
                    std::uint32_t mode, std::uint32_t gid) {
  Step step;
  step.kind = wire::StepKind::make_directory;
  step.rank = rank;
  step.name = name;
  step.value = parent;
  step.type = mode;
  step.gid = gid;
  return step;
}

Step remove_directory(std::uint64_t inode, std::size_t parts) {
  Step step;
  step.kind = wire::StepKind::remove_directory;
  step.rank = home_rank(inode);
  step.inode = inode;
  step.holds = parts;
  return step;
}

Step move_directory(std::uint64_t inode, std::uint64_t parent, std::string_view name) {
  Step step;
  step.kind = wire::StepKind::move_directory;
  step.rank = home_rank(inode);
  step.inode = inode;
  step.name = name;
  step.value = parent;
  return step;
}

Step make_part(std::uint64_t part, std::uint64_t directory) {
  Step step;
  step.kind = wire::StepKind::make_part;
  step.rank = home_rank(part);
  step.inode = part;
  step.value = directory;
  return step;
}

Step split_off(std::uint64_t inode, const Partition::Later& part) {
  Step step;
  step.kind = wire::StepKind::split_off;
  step.rank = home_rank(inode);
  step.inode = inode;
  step.holds = part.low;
  step.value = part.inode;
  step.type = part.depth;
  return step;
}

Step add_part(std::uint64_t directory, const Partition::Later& part) {
  Step step = split_off(directory, part);
  step.kind = wire::StepKind::add_part;
  return step;
}

std::vector<LockKey> lock_keys(std::span<const Step> steps, std::uint32_t rank) {
  std::vector<LockKey> keys;
  for (const Step& step : steps) {
    if (step.rank != rank || step.kind == wire::StepKind::make_directory) continue;
    const bool alone =
        step.kind == wire::StepKind::remove_directory || step.kind == wire::StepKind::split_off;
    keys.push_back({step.inode, {}, alone ? LockMode::exclusive : LockMode::shared});
    if (step.kind == wire::StepKind::set_entry)
      keys.push_back({step.inode, step.name, LockMode::exclusive});
    // The directory learns of its parts in the order in which they came to be. No name has a slash.
    if (step.kind == wire::StepKind::add_part)
      keys.push_back({step.inode, "/parts", LockMode::exclusive});
  }
  std::ranges::stable_sort(keys, [](const LockKey& a, const LockKey& b) { return a < b; });
  std::vector<LockKey> once;
  for (LockKey& key : keys) {
    if (once.empty() || once.back() < key)
      once.push_back(std::move(key));
    else if (key.mode == LockMode::exclusive)
      once.back().mode = LockMode::exclusive;
  }
  return once;
}

std::string encode_steps(std::span<const Step> steps, std::uint32_t rank) {
  std::string bytes;
  for (const Step& step : steps) {
    if (step.rank != rank) continue;
    const wire::Step fixed{.inode = step.inode,
                           .holds = step.holds,
                           .value = step.value,
                           .kind = step.kind,
                           .type = step.type,
                           .gid = step.gid,
                           .links = step.links,
                           .name_bytes = static_cast<std::uint32_t>(step.name.size()),
                           .reserved = 0};
    bytes.append(reinterpret_cast<const char*>(&fixed), sizeof fixed).append(step.name);
  }
  return bytes;
}

Result<std::vector<Step>> decode_steps(std::span<const std::byte> bytes, std::uint32_t count,
                                       std::uint32_t rank, std::uint32_t ranks) {
  if (count == 0 || count > transaction_steps_max) return Error(EBADMSG);
  std::vector<Step> steps;
  for (std::uint32_t i = 0; i < count; ++i) {
    TRY(const auto fixed, wire::parse<wire::Step>(bytes));
    bytes = bytes.subspan(sizeof fixed);
    if (fixed.name_bytes > wire::name_bytes_max) return Error(EBADMSG);
    TRY(const auto name, wire::text(bytes, 0, fixed.name_bytes));
    bytes = bytes.subspan(name.size());
    Step step;
    step.kind = fixed.kind;
    step.rank = rank;
    step.inode = fixed.inode;
    step.name = name;
    step.holds = fixed.holds;
    step.value = fixed.value;
    step.type = fixed.type;
    step.gid = fixed.gid;
    step.links = fixed.links;
    if (!sensible(step, rank, ranks)) return Error(EBADMSG);
    steps.push_back(std::move(step));
  }
  if (!bytes.empty()) return Error(EBADMSG);
  return steps;
}

}  // namespace benchfs
