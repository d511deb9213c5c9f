// Rank and size from the environment that srun gives its tasks: the last resort, for a Slurm
// without PMIx.
#include <algorithm>
#include <charconv>
#include <string_view>

#include "common/placement.h"
#include "common/text.h"
#include "daemon/supervisor/file_rendezvous.h"

namespace benchfs {
namespace {

constexpr std::size_t nodes_max = ranks_max;

// One "3", "1-4" or "007-012" of a bracket: the numbers keep their width.
bool expand_range(std::string_view prefix, std::string_view range, std::string_view suffix,
                  std::vector<std::string>& out) {
  const std::size_t dash = range.find('-');
  const std::string_view first = range.substr(0, dash);
  const std::string_view last = dash == std::string_view::npos ? first : range.substr(dash + 1);
  const auto from = parse_number<std::uint32_t>(first);
  const auto to = parse_number<std::uint32_t>(last);
  if (!from || !to || *from > *to || *to - *from >= nodes_max - std::min(nodes_max, out.size()))
    return false;
  for (std::uint32_t i = *from; i <= *to; ++i) {
    std::string number = std::to_string(i);
    if (number.size() < first.size()) number.insert(0, first.size() - number.size(), '0');
    out.push_back(std::string(prefix) + number + std::string(suffix));
    if (i == UINT32_MAX) break;
  }
  return true;
}

class SlurmRendezvous final : public FileRendezvous {
 public:
  SlurmRendezvous(const Place& place, Registry& registry, const Environment& environment)
      : FileRendezvous(registry), place_(place) {
    const auto any_of = [&](std::initializer_list<const char*> names) {
      for (const char* const name : names)
        if (auto value = environment.text(name)) return *value;
      return std::string();
    };
    const auto nodes = expand_nodes(any_of({"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"}));
    const auto counts =
        expand_counts(any_of({"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}));
    if (!nodes || !counts || nodes->size() != counts->size()) return;
    std::uint64_t tasks = 0;
    for (const std::uint32_t count : *counts) tasks += count;
    if (tasks != place.size) return;
    const std::string distribution = environment.text("SLURM_DISTRIBUTION").value_or("block");
    if (distribution.starts_with("block")) {
      for (std::size_t i = 0; i < nodes->size(); ++i)
        hosts_.insert(hosts_.end(), (*counts)[i], (*nodes)[i]);
    } else if (distribution.starts_with("cyclic")) {
      const std::uint32_t rounds = *std::max_element(counts->begin(), counts->end());
      for (std::uint32_t round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < nodes->size(); ++i)
          if (round < (*counts)[i]) hosts_.push_back((*nodes)[i]);
    }
  }

  void connect(NodeRecord& own, const Patience&) override {
    own.rank = place_.rank;
    own.size = place_.size;
  }
  std::string host_of(std::uint32_t rank) override {
    return rank < hosts_.size() ? hosts_[rank] : std::string();
  }

 private:
  Place place_;
  std::vector<std::string> hosts_;  // by rank; empty: how ranks are spread is not known
};

}  // namespace

std::optional<std::vector<std::string>> expand_nodes(std::string_view list) {
  std::vector<std::string> nodes;
  while (!list.empty()) {
    const std::size_t stop = list.find_first_of("[,");
    const std::string_view prefix = list.substr(0, stop);
    if (stop == std::string_view::npos || list[stop] == ',') {
      if (prefix.empty() || nodes.size() >= nodes_max) return std::nullopt;
      nodes.emplace_back(prefix);
      list.remove_prefix(std::min(prefix.size() + 1, list.size()));
      continue;
    }
    const std::size_t close = list.find(']', stop);
    if (close == std::string_view::npos) return std::nullopt;
    std::string_view ranges = list.substr(stop + 1, close - stop - 1);
    list.remove_prefix(close + 1);
    const std::string_view suffix = list.substr(0, list.find(','));
    if (suffix.find('[') != std::string_view::npos) return std::nullopt;
    list.remove_prefix(std::min(suffix.size() + 1, list.size()));
    while (!ranges.empty()) {
      const std::string_view range = ranges.substr(0, ranges.find(','));
      if (!expand_range(prefix, range, suffix, nodes)) return std::nullopt;
      ranges.remove_prefix(std::min(range.size() + 1, ranges.size()));
    }
  }
  if (nodes.empty()) return std::nullopt;
  return nodes;
}

std::optional<std::vector<std::uint32_t>> expand_counts(std::string_view list) {
  std::vector<std::uint32_t> counts;
  while (!list.empty()) {
    std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(item.size() + 1, list.size()));
    std::uint32_t times = 1;
    if (const std::size_t open = item.find("(x"); open != std::string_view::npos) {
      if (!item.ends_with(')')) return std::nullopt;
      const auto given = parse_number<std::uint32_t>(item.substr(open + 2, item.size() - open - 3));
      if (!given) return std::nullopt;
      times = *given;
      item = item.substr(0, open);
    }
    const auto count = parse_number<std::uint32_t>(item);
    if (!count || *count > ranks_max || times > nodes_max - std::min(nodes_max, counts.size()))
      return std::nullopt;
    counts.insert(counts.end(), times, *count);
  }
  if (counts.empty()) return std::nullopt;
  return counts;
}

std::unique_ptr<Rendezvous> make_slurm_rendezvous(const Place& place, Registry& registry,
                                                  const Environment& environment) {
  return std::make_unique<SlurmRendezvous>(place, registry, environment);
}

}  // namespace benchfs
