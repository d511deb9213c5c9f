// benchfs status: who serves, and what is stored.
#include <cstdio>
#include <cstring>

#include "cli/bounded.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/instance.h"
#include "cli/json.h"
#include "client-preload/fs/file_system.h"
#include "common/process.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr std::int64_t ms = 1'000'000;
// A server that is alive answers at once; more is for a busy machine.
constexpr std::int64_t answer_patience_ns = 5000 * ms;

using Replies = std::vector<std::optional<wire::StatusReply>>;

Replies ask(const Instance& instance, const NodeRecord& server) {
  const auto question = [&]() -> Result<std::vector<std::byte>> {
    const auto files =
        FileSystem::make({.mount_point = server.mount_point, .local_dir = server.data_dir});
    TRY(const Replies replies, files->status());
    std::vector<std::byte> bytes;
    for (const auto& reply : replies) {
      if (!reply) continue;
      const auto part = wire::bytes_of(*reply);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
  };
  Replies replies(instance.ranks.size());
  const auto bytes = run_bounded(question, sys::now_ns() + answer_patience_ns);
  if (!bytes.ok()) return replies;
  for (std::span<const std::byte> rest(*bytes); rest.size() >= sizeof(wire::StatusReply);
       rest = rest.subspan(sizeof(wire::StatusReply))) {
    const auto reply = wire::parse<wire::StatusReply>(rest);
    if (reply.ok() && reply->rank < replies.size()) replies[reply->rank] = *reply;
  }
  return replies;
}

struct Row {
  const NodeRecord* record;  // null: no record
  const char* state;
  std::optional<wire::StatusReply> reply;
};

const char* state_of(const Instance& instance, const NodeRecord* record, bool answered) {
  if (answered) return "up";
  if (record == nullptr) return "missing";
  if (record->state == NodeState::failed) return "failed";
  if (instance.is_here(*record) && !instance.lives(*record)) return "dead";
  if (!instance.ready) return "starting";
  return "not answering";
}

std::string human(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

std::uint64_t used(const wire::StatusReply& reply) { return reply.bytes_total - reply.bytes_free; }

void print_table(const Instance& instance, const std::vector<Row>& rows) {
  const NodeRecord* const any = instance.any();
  std::printf("instance %s, mount point %s, registry %s\n", to_hex(any->instance).c_str(),
              any->mount_point.c_str(), instance.registry.c_str());
  std::printf("%5s  %-20s %-13s %10s %11s %11s %11s %8s %12s\n", "RANK", "HOST", "STATE", "FILES",
              "METADATA", "USED", "FREE", "CLIENTS", "REQUESTS");
  for (std::size_t rank = 0; rank < rows.size(); ++rank) {
    const Row& row = rows[rank];
    std::printf("%5zu  %-20s %-13s", rank, row.record ? row.record->host_name.c_str() : "?",
                row.state);
    if (row.reply)
      std::printf(" %10llu %11s %11s %11s %8u %12llu",
                  static_cast<unsigned long long>(row.reply->inodes),
                  human(row.reply->metadata_bytes).c_str(), human(used(*row.reply)).c_str(),
                  human(row.reply->bytes_free).c_str(), row.reply->clients,
                  static_cast<unsigned long long>(row.reply->requests));
    std::printf("\n");
  }
}

void print_json(const Instance& instance, const std::vector<Row>& rows) {
  const NodeRecord* const any = instance.any();
  std::printf(
      "{\"instance\": %s, \"registry\": %s, \"mount_point\": %s, \"ready\": %s, \"ranks\": [",
      json_text(to_hex(any->instance)).c_str(), json_text(instance.registry).c_str(),
      json_text(any->mount_point).c_str(), instance.ready ? "true" : "false");
  for (std::size_t rank = 0; rank < rows.size(); ++rank) {
    const Row& row = rows[rank];
    std::printf("%s\n  {\"rank\": %zu, \"state\": %s", rank > 0 ? "," : "", rank,
                json_text(row.state).c_str());
    if (row.record)
      std::printf(", \"host\": %s, \"pid\": %d, \"data_dir\": %s",
                  json_text(row.record->host_name).c_str(), pid_of(row.record->supervisor),
                  json_text(row.record->data_dir).c_str());
    if (row.reply) {
      const auto number = [](const char* name, std::uint64_t value) {
        std::printf(", \"%s\": %llu", name, static_cast<unsigned long long>(value));
      };
      number("files", row.reply->inodes);
      number("bytes_used", used(*row.reply));
      number("bytes_free", row.reply->bytes_free);
      number("bytes_total", row.reply->bytes_total);
      number("clients", row.reply->clients);
      number("requests", row.reply->requests);
      number("peer_requests", row.reply->peer_requests);
      number("relayed", row.reply->relayed);
      number("metadata_bytes", row.reply->metadata_bytes);
      number("journal_bytes", row.reply->journal_bytes);
    }
    std::printf("}");
  }
  std::printf("\n]}\n");
}

}  // namespace

int status(const StatusOptions& options) {
  const Instance instance = read_instance(options.registry, exit_code::no_answer);
  if (instance.any() == nullptr) reachable_here(instance, exit_code::no_answer);
  Replies replies(instance.ranks.size());
  const NodeRecord* const server = instance.living_here();
  if (server != nullptr && instance.ready) replies = ask(instance, *server);

  std::vector<Row> rows;
  bool all_up = true;
  for (std::size_t rank = 0; rank < instance.ranks.size(); ++rank) {
    const NodeRecord* const record = instance.ranks[rank] ? &*instance.ranks[rank] : nullptr;
    rows.push_back({.record = record,
                    .state = state_of(instance, record, replies[rank].has_value()),
                    .reply = replies[rank]});
    all_up = all_up && replies[rank];
  }
  if (options.json)
    print_json(instance, rows);
  else
    print_table(instance, rows);
  if (server == nullptr) reachable_here(instance, exit_code::no_answer);  // says why
  return all_up ? 0 : exit_code::no_answer;
}

}  // namespace benchfs::cli
