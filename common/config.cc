#include "common/config.h"

#include <ini.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "common/content_cells.h"
#include "common/fd.h"
#include "common/placement.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;
constexpr std::string_view variable_prefix = "BENCHFS_";
constexpr std::string_view log_variable = "BENCHFS_LOG";
constexpr std::string_view uid_placeholder = "<uid>";

// Formats: what a setting's text may be. Each has parse, print (the canonical text) and allowed.

template <std::uint64_t min, std::uint64_t max>
struct Number {
  static std::optional<std::uint64_t> parse(std::string_view text) {
    const auto value = parse_number<std::uint64_t>(text);
    if (!value || *value < min || *value > max) return std::nullopt;
    return value;
  }
  static std::string print(std::uint64_t value) { return std::to_string(value); }
  static std::string allowed() {
    return "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  }
};

template <std::uint64_t min, std::uint64_t max>
struct PowerOfTwoSize {
  static std::optional<std::uint64_t> parse(std::string_view text) {
    const auto value = parse_size(text);
    if (!value || !std::has_single_bit(*value) || *value < min || *value > max) return std::nullopt;
    return value;
  }
  static std::string print(std::uint64_t value) { return std::to_string(value); }
  static std::string allowed() {
    return "a power of two from " + format_size(min) + " to " + format_size(max);
  }
};

template <std::uint64_t step, std::uint64_t min, std::uint64_t max>
struct SizeInSteps {
  static std::optional<std::uint64_t> parse(std::string_view text) {
    const auto value = parse_size(text);
    if (!value || *value % step != 0 || *value < min || *value > max) return std::nullopt;
    return value;
  }
  static std::string print(std::uint64_t value) { return std::to_string(value); }
  static std::string allowed() {
    return "a size from " + format_size(min) + " to " + format_size(max) + ", a multiple of " +
           format_size(step);
  }
};

struct Flag {
  static std::optional<bool> parse(std::string_view text) { return parse_bool(text); }
  static std::string print(bool value) { return value ? "true" : "false"; }
  static std::string allowed() { return "true, false"; }
};

// In the order of the enumeration.
template <class Enum>
constexpr std::array<std::string_view, 0> names{};
template <>
constexpr std::array<std::string_view, 5> names<Bootstrap>{"auto", "pmix", "mpi", "slurm",
                                                           "single"};
template <>
constexpr std::array<std::string_view, 3> names<MetadataLog>{"off", "write", "fsync"};
template <>
constexpr std::array<std::string_view, 3> names<Waiting>{"adaptive", "poll", "block"};
template <>
constexpr std::array<std::string_view, 6> names<LogLevel>{"trace", "debug", "info",
                                                          "warn",  "error", "off"};
static_assert(static_cast<std::size_t>(Bootstrap::single) + 1 == names<Bootstrap>.size());
static_assert(static_cast<std::size_t>(MetadataLog::fsync) + 1 == names<MetadataLog>.size());
static_assert(static_cast<std::size_t>(Waiting::block) + 1 == names<Waiting>.size());
static_assert(static_cast<std::size_t>(LogLevel::off) + 1 == names<LogLevel>.size());

template <class Enum>
struct Choice {
  static std::optional<Enum> parse(std::string_view text) {
    const auto* const found = std::find(names<Enum>.begin(), names<Enum>.end(), text);
    if (found == names<Enum>.end()) return std::nullopt;
    return static_cast<Enum>(found - names<Enum>.begin());
  }
  static std::string print(Enum value) {
    return std::string(names<Enum>[static_cast<std::size_t>(value)]);
  }
  static std::string allowed() {
    std::string text;
    for (const std::string_view name : names<Enum>) {
      if (!text.empty()) text += ", ";
      text += name;
    }
    return text;
  }
};

struct MountPoint {
  static std::optional<std::string> parse(std::string_view text) {
    if (!is_normal_absolute(text)) return std::nullopt;
    return std::string(text);
  }
  static std::string print(const std::string& value) { return value; }
  static std::string allowed() {
    return "an absolute path other than /, without '.', '..', double or trailing slashes";
  }
};

struct DataDirectory {
  static std::optional<std::string> parse(std::string_view text) {
    std::string path(text);
    const std::string uid = std::to_string(::getuid());
    for (std::size_t at = path.find(uid_placeholder); at != std::string::npos;
         at = path.find(uid_placeholder, at + uid.size()))
      path.replace(at, uid_placeholder.size(), uid);
    return MountPoint::parse(path);
  }
  static std::string print(const std::string& value) { return value; }
  static std::string allowed() { return MountPoint::allowed(); }
};

struct LogFile {
  static std::optional<std::string> parse(std::string_view text) {
    if (text.empty()) return std::string();
    return MountPoint::parse(text);
  }
  static std::string print(const std::string& value) { return value; }
  static std::string allowed() { return "nothing, or " + MountPoint::allowed(); }
};

template <auto group, auto member, class Format>
bool set(Config& config, std::string_view text) {
  auto value = Format::parse(text);
  if (!value) return false;
  auto& target = config.*group.*member;
  using Target = std::remove_reference_t<decltype(target)>;
  if constexpr (std::is_same_v<Target, std::uint32_t>) {
    if (*value > std::numeric_limits<std::uint32_t>::max()) return false;
    target = static_cast<std::uint32_t>(*value);
  } else {
    target = *std::move(value);
  }
  return true;
}

template <auto group, auto member, class Format>
std::string get(const Config& config) {
  return Format::print(config.*group.*member);
}

enum class Agree : bool { no, yes };

template <auto group, auto member, class Format>
constexpr Setting row(std::string_view section, std::string_view key, std::string_view default_text,
                      Agree agree, std::string_view help) {
  return {.section = section,
          .key = key,
          .help = help,
          .default_text = default_text,
          .must_agree = agree == Agree::yes,
          .set = set<group, member, Format>,
          .get = get<group, member, Format>,
          .allowed = Format::allowed};
}

using Node = Config::Node;
using Storage = Config::Storage;
using Network = Config::Network;
using Metadata = Config::Metadata;
using Client = Config::Client;
using Log = Config::Log;

// Rows of a section stand together. Help is wrapped where it is printed.
constexpr Setting table[] = {
    row<&Config::node, &Node::bootstrap, Choice<Bootstrap>>(
        "node", "bootstrap", "auto", Agree::no,
        "How a server learns its rank and the number of ranks. auto: by PMIx if a PMIx server "
        "is there, else by MPI if mpirun started it, else from Slurm's environment, else single."),
    row<&Config::node, &Node::keep_data, Flag>(
        "node", "keep_data", "false", Agree::no,
        "Whether the chunks stay in the data directory after an orderly end."),
    row<&Config::node, &Node::start_timeout_s, Number<1, 86400>>(
        "node", "start_timeout_s", "60", Agree::no,
        "Seconds to wait for all ranks at the start; then the missing ones are named."),
    row<&Config::node, &Node::drain_timeout_s, Number<0, 86400>>(
        "node", "drain_timeout_s", "25", Agree::no,
        "Seconds for which the servers of a Slurm job go on serving after SIGTERM while a client "
        "lives. Keep it below Slurm's KillWait."),

    row<&Config::storage, &Storage::data_dir, DataDirectory>(
        "storage", "data_dir", "/tmp/benchfs-<uid>", Agree::no,
        "Directory on this node for the data of its ranks. <uid> stands for the user's number."),
    row<&Config::storage, &Storage::chunk_size, PowerOfTwoSize<64 << 10, 1 << 30>>(
        "storage", "chunk_size", "4m", Agree::yes,
        "Bytes of a file that lie together on one rank."),
    row<&Config::storage, &Storage::buffer_size, SizeInSteps<4 << 10, 64 << 10, 64 << 20>>(
        "storage", "buffer_size", "1m", Agree::no,
        "Bytes of one transfer buffer: longer requests are cut into pieces of it."),
    row<&Config::storage, &Storage::queue_size, Number<8, 32768>>(
        "storage", "queue_size", "2048", Agree::no, "Entries of a server's io_uring queue."),
    row<&Config::storage, &Storage::submit_depth, Number<1, 32768>>(
        "storage", "submit_depth", "64", Agree::no,
        "How many entries are gathered at most before they are submitted; not more than "
        "queue_size."),

    row<&Config::network, &Network::request_timeout_ms, Number<100, 3600000>>(
        "network", "request_timeout_ms", "10000", Agree::no,
        "Milliseconds without any sign of life of a server after which requests to it fail with "
        "EIO."),
    row<&Config::network, &Network::heartbeat_ms, Number<10, 3600000>>(
        "network", "heartbeat_ms", "1000", Agree::no,
        "Milliseconds between the signs of life that servers give each other; less than "
        "request_timeout_ms."),
    row<&Config::network, &Network::wait, Choice<Waiting>>(
        "network", "wait", "adaptive", Agree::no,
        "How an idle server waits. adaptive: looks for a few microseconds, then sleeps. poll: "
        "never sleeps, for cores of its own. block: sleeps at once."),

    row<&Config::metadata, &Metadata::max_inodes, Number<0, inode_counter_max>>(
        "metadata", "max_inodes", "0", Agree::yes,
        "Files and directories that one rank takes at most; 0: as many as memory holds."),
    row<&Config::metadata, &Metadata::log, Choice<MetadataLog>>(
        "metadata", "log", "write", Agree::no,
        "What is done for changes of names and attributes to outlive a server that crashes. write: "
        "they are in a log in the data directory before they are answered. fsync: on its device, "
        "too. off: nothing; a server that crashes takes them along."),
    row<&Config::metadata, &Metadata::directory_split_entries, Number<0, 1U << 30>>(
        "metadata", "directory_split_entries", "4096", Agree::yes,
        "Entries above which a rank gives half of its part of a directory to another rank; 0: "
        "never."),
    row<&Config::metadata, &Metadata::inline_bytes, Number<0, cell_bytes>>(
        "metadata", "inline_bytes", "4096", Agree::yes,
        "Bytes up to which a file's content lies in the memory of its server and needs no chunk "
        "file; 0: every content is in chunk files."),

    row<&Config::client, &Client::mount_point, MountPoint>(
        "client", "mount_point", "/benchfs", Agree::yes,
        "Path below which applications see the file system. It need not exist."),
    row<&Config::client, &Client::wait, Choice<Waiting>>(
        "client", "wait", "adaptive", Agree::no,
        "How an application waits for an answer; as network.wait."),
    row<&Config::client, &Client::spin_us, Number<0, 100000>>(
        "client", "spin_us", "50", Agree::no,
        "Microseconds for which an adaptive client looks for the answer before it sleeps."),
    row<&Config::client, &Client::read_only, Flag>(
        "client", "read_only", "false", Agree::no,
        "Whether applications of this host may change nothing: EROFS."),

    row<&Config::log, &Log::level, Choice<LogLevel>>(
        "log", "level", "info", Agree::no,
        "What rank 0 logs; other ranks log warnings and errors. The environment variable "
        "BENCHFS_LOG sets it for all ranks."),
    row<&Config::log, &Log::file, LogFile>(
        "log", "file", "", Agree::no, "File to which the log is appended; empty: standard error."),
};
constexpr std::size_t settings_count = std::size(table);

std::string full_name(const Setting& setting) {
  return std::string(setting.section) + "." + std::string(setting.key);
}

std::string variable_of(std::string_view section, std::string_view key) {
  std::string name(variable_prefix);
  name.append(section).append("_").append(key);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return name;
}

const Setting* find_setting(std::string_view section, std::string_view key) {
  for (const Setting& setting : table)
    if (setting.section == section && setting.key == key) return &setting;
  return nullptr;
}

bool known_section(std::string_view section) {
  return std::any_of(std::begin(table), std::end(table),
                     [&](const Setting& setting) { return setting.section == section; });
}

// `print` gives what is listed for a setting; what it gives twice in a row is listed once.
template <class Print>
std::string list(Print print) {
  std::string text;
  std::string last;
  for (const Setting& setting : table) {
    const std::string item = print(setting);
    if (item.empty() || item == last) continue;
    if (!text.empty()) text += ", ";
    text += item;
    last = item;
  }
  return text;
}

std::string list_sections() {
  return list([](const Setting& setting) { return "[" + std::string(setting.section) + "]"; });
}

std::string list_keys(std::string_view section) {
  return list([&](const Setting& setting) {
    return setting.section == section ? std::string(setting.key) : std::string();
  });
}

// `subject` is what was written: "storage.chunk_size='3m'".
std::string bad_value(const Setting& setting, std::string_view subject) {
  return std::string(subject) + " is not allowed; allowed: " + setting.allowed();
}

// Reads the configuration file line by line for inih, and keeps what inih does not tell: the line
// it is at, and why it stopped. inih is C, so nothing is thrown before it has returned.
class FileReader {
 public:
  FileReader(Config& config, std::string_view text) : config_(config), rest_(text) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
  }

  // Empty, or "<line>: what is wrong".
  std::string parse() {
    const int line = ini_parse_stream(next_line, this, on_pair, this);
    if (line < 0) return "1: out of memory";
    // inih goes on after a line it cannot parse, so what failed first may be its error or ours.
    if (line > 0 && (error_.empty() || line < line_)) {
      line_ = line;
      error_.clear();
      fail("neither a [section], nor key = value, nor a comment");
    }
    return error_;
  }

 private:
  static char* next_line(char* buffer, int size, void* self) {
    return static_cast<FileReader*>(self)->next_line(buffer, static_cast<std::size_t>(size));
  }
  static int on_pair(void* self, const char* section, const char* key, const char* value) {
    return static_cast<FileReader*>(self)->on_pair(section, key, value) ? 1 : 0;
  }

  char* next_line(char* buffer, std::size_t size) {
    if (rest_.empty() || !error_.empty()) return nullptr;
    ++line_;
    const std::string_view line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
    // inih would take the end of a long line for a line of its own.
    if (line.size() + 3 > size) {
      fail("longer than " + std::to_string(size - 3) + " bytes");
      return nullptr;
    }
    if (line.find('\0') != std::string_view::npos) {
      fail("holds a zero byte; this is not a text file");
      return nullptr;
    }
    // inih joins indented lines to the value above; for us they are lines like all others.
    const std::size_t start = std::min(line.find_first_not_of(" \t\r\v\f"), line.size());
    const std::string_view content = line.substr(start);
    if (!check_section(content)) return nullptr;
    std::memcpy(buffer, content.data(), content.size());
    std::memcpy(buffer + content.size(), "\n", 2);
    return buffer;
  }

  // inih drops what follows the bracket, and is silent about a section without keys.
  bool check_section(std::string_view line) {
    if (!line.starts_with('[')) return true;
    const std::size_t end = line.find(']');
    if (end == std::string_view::npos) return true;  // inih's error
    const std::string_view section = line.substr(1, end - 1);
    if (!known_section(section))
      return fail("unknown section " + quoted(section) + "; known: " + list_sections());
    const std::size_t more = line.find_first_not_of(" \t\r\v\f", end + 1);
    if (more != std::string_view::npos && line[more] != ';' && line[more] != '#')
      return fail("text after [" + std::string(section) + "]; put it on a line of its own");
    return true;
  }

  bool on_pair(std::string_view section, std::string_view key, std::string_view value) {
    if (!error_.empty()) return false;
    if (section.empty()) return fail(quoted(key) + " stands before any [section]");
    const Setting* const setting = find_setting(section, key);
    if (setting == nullptr)
      return fail("unknown key " + quoted(key) + " in [" + std::string(section) +
                  "]; known: " + list_keys(section));
    int& seen = seen_at_[static_cast<std::size_t>(setting - table)];
    if (seen != 0)
      return fail(full_name(*setting) + " is set twice, first in line " + std::to_string(seen));
    seen = line_;
    // A path could end so, and would silently be the wrong one.
    if (value.find(" #") != std::string_view::npos || value.find("\t#") != std::string_view::npos)
      return fail("comment after a value: begin it with ';' or put it on a line of its own");
    if (!setting->set(config_, value))
      return fail(bad_value(*setting, full_name(*setting) + " = " + quoted(value)));
    return true;
  }

  bool fail(std::string_view what) {
    if (error_.empty()) error_ = std::to_string(line_) + ": " + std::string(what);
    return false;
  }

  Config& config_;
  std::string_view rest_;
  int line_ = 0;
  std::array<int, settings_count> seen_at_{};
  std::string error_;
};

std::string read_file(const std::string& name) {
  const auto refuse = [&](const std::string& why) {
    throw ConfigError(one_line(name) + ": cannot be read: " + why);
  };
  // Not blocking: somebody may name a FIFO.
  const int opened = sys::openat(AT_FDCWD, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) refuse(describe(Error(-opened)));
  const Fd fd(opened);
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = sys::read(fd.get(), buffer.data(), buffer.size());
    if (got == -EINTR) continue;
    if (got < 0) refuse(describe(Error(static_cast<int>(-got))));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > file_bytes_max) refuse("longer than " + format_size(file_bytes_max));
  }
}

void apply_file(Config& config, const std::string& name) {
  const std::string text = read_file(name);
  if (const std::string error = FileReader(config, text).parse(); !error.empty())
    throw ConfigError(one_line(name) + ":" + error);
}

// Splits "NAME=value".
std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {text, {}};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void apply_variable(Config& config, std::string_view variable, std::string_view value) {
  for (const Setting& setting : table) {
    if (variable != variable_of(setting.section, setting.key)) continue;
    if (!setting.set(config, value))
      throw ConfigError(
          bad_value(setting, "environment: " + std::string(variable) + "=" + quoted(value)));
    return;
  }
  for (const Setting& setting : table)
    if (variable.starts_with(variable_of(setting.section, "")))
      throw ConfigError("environment: unknown setting " + one_line(variable) +
                        "; known: " + list([&](const Setting& other) {
                          return other.section == setting.section
                                     ? variable_of(other.section, other.key)
                                     : std::string();
                        }));
}

void apply_environment(Config& config, char** environment) {
  if (environment == nullptr) return;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    const auto [variable, value] = split(*entry);
    if (variable.starts_with(variable_prefix)) apply_variable(config, variable, value);
  }
  // After all others: it is what one types in front of a command, and wins over BENCHFS_LOG_LEVEL.
  for (char** entry = environment; *entry != nullptr; ++entry) {
    const auto [variable, value] = split(*entry);
    if (variable != log_variable) continue;
    const Setting& level = *find_setting("log", "level");
    if (!level.set(config, value))
      throw ConfigError(
          bad_value(level, "environment: " + std::string(log_variable) + "=" + quoted(value)));
  }
}

void apply_override(Config& config, std::string_view text) {
  if (text.starts_with("--")) text.remove_prefix(2);
  if (text.find('=') == std::string_view::npos)
    throw ConfigError("--" + one_line(text) + ": expected --section.key=value");
  const auto [key, value] = split(text);
  set_option(config, key, value);
}

// Values that are fine alone and not together.
void check_together(const Config& config) {
  if (config.storage.submit_depth > config.storage.queue_size)
    throw ConfigError("storage.submit_depth (" + std::to_string(config.storage.submit_depth) +
                      ") must not be more than storage.queue_size (" +
                      std::to_string(config.storage.queue_size) + ")");
  if (config.network.heartbeat_ms >= config.network.request_timeout_ms)
    throw ConfigError("network.heartbeat_ms (" + std::to_string(config.network.heartbeat_ms) +
                      ") must be less than network.request_timeout_ms (" +
                      std::to_string(config.network.request_timeout_ms) + ")");
}

void append_comment(std::string& text, std::string_view comment) {
  constexpr std::size_t columns = 80;
  std::size_t column = 0;
  while (!comment.empty()) {
    const std::string_view word = comment.substr(0, comment.find(' '));
    comment.remove_prefix(std::min(word.size() + 1, comment.size()));
    if (column == 0 || column + 1 + word.size() > columns) {
      text += column == 0 ? "#" : "\n#";
      column = 1;
    }
    text.append(" ").append(word);
    column += 1 + word.size();
  }
  text += "\n";
}

}  // namespace

std::string default_data_dir() { return "/tmp/benchfs-" + std::to_string(::getuid()); }

std::span<const Setting> settings() { return table; }

Config load_config(const std::optional<std::string>& file, std::span<const std::string> overrides,
                   char** environment) {
  Config config;
  if (file) apply_file(config, *file);
  apply_environment(config, environment);
  for (const std::string& text : overrides) apply_override(config, text);
  check_together(config);
  return config;
}

void set_option(Config& config, std::string_view key, std::string_view value) {
  const std::size_t dot = key.find('.');
  const std::string_view section = key.substr(0, dot);
  if (!known_section(section) || dot == std::string_view::npos)
    throw ConfigError("--" + one_line(key) +
                      ": unknown setting; known sections: " + list_sections());
  const Setting* const setting = find_setting(section, key.substr(dot + 1));
  if (setting == nullptr)
    throw ConfigError("--" + one_line(key) + ": unknown setting; known in [" +
                      std::string(section) + "]: " + list_keys(section));
  if (!setting->set(config, value))
    throw ConfigError(bad_value(*setting, "--" + full_name(*setting) + "=" + quoted(value)));
}

bool log_level_forced(char** environment) {
  if (environment == nullptr) return false;
  for (char** entry = environment; *entry != nullptr; ++entry)
    if (split(*entry).first == log_variable) return true;
  return false;
}

std::string help_config() {
  std::string text;
  append_comment(text,
                 "Settings of BenchFS. Each is shown with its default; remove the # to change it. "
                 "Stronger than this file are environment variables, BENCHFS_STORAGE_DATA_DIR for "
                 "data_dir in [storage], and options of the command line, "
                 "--storage.data_dir=VALUE. Sizes take the suffixes k, m, g and t, powers of "
                 "1024. A comment after a value begins with ;");
  std::string_view section;
  for (const Setting& setting : table) {
    if (setting.section != section) {
      section = setting.section;
      text.append("\n[").append(section).append("]\n");
    }
    text += "\n";
    append_comment(text, setting.help);
    append_comment(text, "Allowed: " + setting.allowed() + ".");
    text.append("#").append(setting.key).append(" =");
    if (!setting.default_text.empty()) text.append(" ").append(setting.default_text);
    text += "\n";
  }
  return text;
}

std::string describe_fingerprinted(const Config& config) {
  std::string text;
  for (const Setting& setting : table) {
    if (!setting.must_agree) continue;
    if (!text.empty()) text += " ";
    text += full_name(setting) + "=" + setting.get(config);
  }
  return text;
}

std::uint64_t fingerprint(const Config& config) {
  std::string text;
  for (const Setting& setting : table)
    if (setting.must_agree) text += full_name(setting) + "=" + setting.get(config) + "\n";
  return hash_bytes(text);
}

std::string encode(const Config& config) {
  std::string text;
  for (const Setting& setting : table)
    text += full_name(setting) + "=" + setting.get(config) + "\n";
  return text;
}

Config decode(std::string_view dump) {
  Config config;
  std::array<bool, settings_count> seen{};
  while (!dump.empty()) {
    const std::size_t end = dump.find('\n');
    if (end == std::string_view::npos) throw ConfigError("configuration dump: line without an end");
    const auto [name, value] = split(dump.substr(0, end));
    dump.remove_prefix(end + 1);
    const std::size_t dot = std::min(name.find('.'), name.size());
    const Setting* const setting =
        find_setting(name.substr(0, dot), name.substr(std::min(dot + 1, name.size())));
    if (setting == nullptr || seen[static_cast<std::size_t>(setting - table)])
      throw ConfigError("configuration dump: " + quoted(name) + " is unknown or set twice");
    seen[static_cast<std::size_t>(setting - table)] = true;
    if (!setting->set(config, value))
      throw ConfigError("configuration dump: " +
                        bad_value(*setting, std::string(name) + "=" + quoted(value)));
  }
  for (std::size_t i = 0; i < settings_count; ++i)
    if (!seen[i]) throw ConfigError("configuration dump: " + full_name(table[i]) + " is missing");
  return config;
}

}  // namespace benchfs
