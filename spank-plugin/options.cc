#include "spank-plugin/options.h"

#include <charconv>

namespace benchfs::spank {
namespace {

constexpr std::uint32_t timeout_s_max = 3600;
constexpr std::size_t path_bytes_max = 1024;

enum class Kind : std::uint8_t { path, word, seconds };

struct Argument {
  std::string_view name;
  Kind kind;
  std::string Settings::*text;      // path, word
  std::string_view forbidden = {};  // characters with a meaning where the value ends up
};

constexpr Argument arguments_known[] = {
    {"server", Kind::path, &Settings::server},
    {"preload", Kind::path, &Settings::preload, ": "},     // separators in LD_PRELOAD
    {"registry", Kind::path, &Settings::registry, "%\\"},  // patterns in srun --output
    {"data", Kind::path, &Settings::data},
    {"mpi", Kind::word, &Settings::mpi},
    {"config", Kind::path, &Settings::config},
    {"srun", Kind::path, &Settings::srun},
    {"timeout", Kind::seconds, nullptr},
};

std::string problem_with(std::string_view argument, std::string_view why) {
  return "plugstack.conf, argument \"" + std::string(argument) +
         "\" of spank_benchfs.so: " + std::string(why);
}

bool is_word(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == text.npos;
}

// What is wrong with the value, or nothing.
std::string set(Settings& settings, const Argument& known, std::string_view value) {
  switch (known.kind) {
    case Kind::path:
      if (!value.starts_with('/') || value.size() > path_bytes_max) return "wants an absolute path";
      if (value.find_first_of(known.forbidden) != value.npos)
        return "the path must not contain any of \"" + std::string(known.forbidden) + "\"";
      while (value.size() > 1 && value.ends_with('/')) value.remove_suffix(1);
      settings.*known.text = value;
      return {};
    case Kind::word:
      if (!is_word(value)) return "wants a name as in `srun --mpi=list`";
      settings.*known.text = value;
      return {};
    case Kind::seconds:
      if (const auto seconds = parse_number(value, timeout_s_max); seconds && *seconds > 0) {
        settings.timeout_s = static_cast<std::uint32_t>(*seconds);
        return {};
      }
      return "wants seconds from 1 to " + std::to_string(timeout_s_max);
  }
  return "is not known";
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t largest) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > largest)
    return std::nullopt;
  return number;
}

std::optional<Choice> parse_choice(const char* value) {
  // Slurm hands an option without argument on to the nodes as the text "(null)".
  const std::string_view text = value == nullptr ? "" : value;
  if (text.empty() || text == "(null)" || text == "on") return Choice::on;
  if (text == "off") return Choice::off;
  return std::nullopt;
}

Settings parse_settings(std::span<const char* const> arguments) {
  Settings settings;
  settings.server = BENCHFS_DEFAULT_SERVER;
  settings.preload = BENCHFS_DEFAULT_PRELOAD;
  for (const std::string_view argument : arguments) {
    const std::size_t equals = argument.find('=');
    const Argument* known = nullptr;
    for (const Argument& candidate : arguments_known)
      if (equals != argument.npos && candidate.name == argument.substr(0, equals))
        known = &candidate;
    const std::string why = known == nullptr ? "is not known: allowed are server= preload= "
                                               "registry= data= mpi= config= srun= timeout="
                                             : set(settings, *known, argument.substr(equals + 1));
    if (!why.empty() && settings.problem.empty()) settings.problem = problem_with(argument, why);
  }
  if (settings.problem.empty() && settings.registry.empty())
    settings.problem =
        "plugstack.conf: spank_benchfs.so needs registry=DIR, a directory of mode 1777 that all "
        "nodes share";
  return settings;
}

}  // namespace benchfs::spank
