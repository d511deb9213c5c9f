// benchfs fsck: whether what the ranks hold fits together.
#include <cstdio>
#include <cstring>
#include <string>

#include "cli/bounded.h"
#include "cli/check_pass.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/instance.h"
#include "cli/json.h"
#include "client-preload/fs/file_system.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
// A thousand million files; a server that is stopped meanwhile is not waited for without end.
constexpr std::int64_t patience_ns = 3600 * second_ns;
// What each rank must answer within before the check begins.
constexpr std::int64_t answer_patience_ns = 10 * second_ns;
constexpr std::size_t lines_max = 100'000;  // of damage that is printed

std::string count(std::uint64_t number, const char* one, const char* many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

std::string summary(const CheckReport& report, std::uint32_t ranks) {
  const Checked& checked = report.checked;
  return count(checked.directories, "directory", "directories") + ", " +
         count(checked.files, "file", "files") + ", " + count(checked.entries, "entry", "entries") +
         " and " + count(checked.chunks, "chunk file", "chunk files") + " at " +
         count(ranks, "rank", "ranks");
}

std::string as_text(const CheckReport& report, std::uint32_t ranks) {
  std::string text;
  if (!report.quiet)
    return "not quiet: names or files changed all the while; end the programs that use " +
           summary(report, ranks) + ", and check again\n";
  for (std::size_t i = 0; i < report.damage.size() && i < lines_max; ++i)
    text += std::string(report.damage[i].kind) + ": " + report.damage[i].text + "\n";
  if (report.damage.size() > lines_max)
    text += "and " + std::to_string(report.damage.size() - lines_max) + " more\n";
  text += report.damage.empty() ? "clean" : count(report.damage.size(), "damage", "damages");
  return text + ": " + summary(report, ranks) + "\n";
}

std::string as_json(const CheckReport& report, std::uint32_t ranks) {
  const auto number = [](const char* name, std::uint64_t value) {
    return "\"" + std::string(name) + "\": " + std::to_string(value);
  };
  const Checked& checked = report.checked;
  std::string text = std::string("{\"quiet\": ") + (report.quiet ? "true" : "false") + ", " +
                     number("ranks", ranks) + ", " + number("directories", checked.directories) +
                     ", " + number("files", checked.files) + ", " +
                     number("entries", checked.entries) + ", " + number("chunks", checked.chunks) +
                     ", \"damage\": [";
  const std::size_t shown = report.quiet ? std::min(report.damage.size(), lines_max) : 0;
  for (std::size_t i = 0; i < shown; ++i) {
    const Damage& damage = report.damage[i];
    text += std::string(i > 0 ? "," : "") + "\n  {\"kind\": " + json_text(damage.kind) + ", " +
            number("inode", damage.inode) + ", \"text\": " + json_text(damage.text) + "}";
  }
  return text + "]}\n";
}

int code_of(const CheckReport& report) {
  if (!report.quiet) return exit_code::not_quiet;
  return report.damage.empty() ? 0 : exit_code::damage;
}

[[noreturn]] void unreachable(const Instance& instance, std::uint32_t rank, Error error) {
  const bool known = rank < instance.ranks.size() && instance.ranks[rank].has_value();
  throw Failure(exit_code::no_servers,
                "Rank " + std::to_string(rank) +
                    (known ? " on " + instance.ranks[rank]->host_name : std::string()) +
                    " does not answer: " + describe(error) +
                    ": benchfs status shows which ranks are up");
}

// All ranks, or none is asked more: who waits for one that is gone waits long.
void must_answer(const Instance& instance, const Settings& settings) {
  const auto question = [&]() -> Result<std::vector<std::byte>> {
    const auto files = FileSystem::make(settings);
    TRY(const auto replies, files->status());
    std::vector<std::byte> silent;
    for (std::uint32_t rank = 0; rank < replies.size(); ++rank) {
      if (replies[rank]) continue;
      const auto number = std::as_bytes(std::span(&rank, 1));
      silent.insert(silent.end(), number.begin(), number.end());
      break;
    }
    return silent;
  };
  const auto silent = run_bounded(question, sys::now_ns() + answer_patience_ns);
  if (!silent.ok())
    throw Failure(exit_code::no_servers, "The servers of " + instance.registry +
                                             " do not answer: " + describe(silent.error()) +
                                             ": benchfs status shows which ranks are up");
  std::uint32_t rank = 0;
  if (silent->size() != sizeof rank) return;
  std::memcpy(&rank, silent->data(), sizeof rank);
  unreachable(instance, rank, Error(EIO));
}

// What the process that asks hands over: exit code, or the rank that failed and why, and text.
struct Outcome {
  std::int32_t code;
  std::int32_t error;
  std::uint32_t rank;
  std::uint32_t reserved;
};

Result<std::vector<std::byte>> check(const Settings& settings, bool json) {
  const auto files = FileSystem::make(settings);
  TRY(const std::uint32_t ranks, files->ranks());
  const AskRank ask = [&](std::uint32_t rank, wire::Op op, std::span<const std::byte> body) {
    return files->ask_rank(rank, op, body);
  };
  Outcome outcome{};
  const auto report = check_all(ask, ranks, outcome.rank);
  std::string text;
  if (report.ok()) {
    outcome.code = code_of(*report);
    text = json ? as_json(*report, ranks) : as_text(*report, ranks);
  } else {
    outcome.error = report.error().code();
  }
  std::vector<std::byte> bytes;
  for (const auto part : {wire::bytes_of(outcome), wire::bytes_of(std::string_view(text))})
    bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

}  // namespace

int fsck(const FsckOptions& options) {
  const Instance instance = read_instance(options.registry, exit_code::no_servers);
  const NodeRecord& server = reachable_here(instance, exit_code::no_servers);
  if (!instance.ready)
    throw Failure(exit_code::no_servers,
                  "The servers of " + instance.registry + " are not ready: check again later");
  const Settings settings{.mount_point = server.mount_point, .local_dir = server.data_dir};
  must_answer(instance, settings);
  const auto bytes =
      run_bounded([&] { return check(settings, options.json); }, sys::now_ns() + patience_ns);
  if (!bytes.ok())
    throw Failure(exit_code::no_servers,
                  "The check of " + instance.registry + " did not end: " + describe(bytes.error()));
  const auto outcome = wire::parse<Outcome>(*bytes);
  if (!outcome.ok()) throw Failure(exit_code::no_servers, "The check was cut off");
  if (outcome->error != 0) unreachable(instance, outcome->rank, Error(outcome->error));
  const auto text = std::span(*bytes).subspan(sizeof *outcome);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Failure(exit_code::no_servers, "The result cannot be written");
  return outcome->code;
}

}  // namespace benchfs::cli
