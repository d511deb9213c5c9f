#include "tests/model/steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace model {
namespace {

struct Name {
  Kind kind;
  const char* name;
  unsigned weight;
};
constexpr std::array names{Name{Kind::open, "open", 26},
                           Name{Kind::close, "close", 4},
                           Name{Kind::duplicate, "dup", 3},
                           Name{Kind::read, "read", 6},
                           Name{Kind::pread, "pread", 3},
                           Name{Kind::write, "write", 8},
                           Name{Kind::pwrite, "pwrite", 5},
                           Name{Kind::seek, "lseek", 4},
                           Name{Kind::set_flags, "setfl", 1},
                           Name{Kind::truncate_fd, "ftruncate", 3},
                           Name{Kind::stat_fd, "fstat", 5},
                           Name{Kind::chmod_fd, "fchmod", 1},
                           Name{Kind::times_fd, "futimens", 1},
                           Name{Kind::sync, "fsync", 1},
                           Name{Kind::list_fd, "readdir", 2},
                           Name{Kind::stat, "stat", 6},
                           Name{Kind::lstat, "lstat", 5},
                           Name{Kind::access, "access", 2},
                           Name{Kind::read_link, "readlink", 3},
                           Name{Kind::link, "link", 6},
                           Name{Kind::symlink, "symlink", 5},
                           Name{Kind::unlink, "unlink", 8},
                           Name{Kind::make_directory, "mkdir", 11},
                           Name{Kind::remove_directory, "rmdir", 5},
                           Name{Kind::rename, "rename", 14},
                           Name{Kind::chmod, "chmod", 2},
                           Name{Kind::times, "utimens", 3},
                           Name{Kind::truncate, "truncate", 3},
                           Name{Kind::list, "list", 4},
                           Name{Kind::set_xattr, "setxattr", 3},
                           Name{Kind::get_xattr, "getxattr", 2},
                           Name{Kind::list_xattr, "listxattr", 1},
                           Name{Kind::remove_xattr, "removexattr", 1},
                           Name{Kind::link_fd, "linkfd", 2},
                           Name{Kind::fork, "fork", 3}};

bool is_for(Kind kind, const Features& features) {
  switch (kind) {
    case Kind::set_xattr:
    case Kind::get_xattr:
    case Kind::list_xattr:
    case Kind::remove_xattr:
      return features.xattr;
    case Kind::link_fd:
      return features.tmpfile;
    default:
      return true;
  }
}

const char* name_of(Kind kind) {
  for (const Name& name : names)
    if (name.kind == kind) return name.name;
  return "?";
}

constexpr std::array<std::pair<const char*, bool Features::*>, 8> feature_names{{
    {"exchange", &Features::exchange},
    {"xattr", &Features::xattr},
    {"tmpfile", &Features::tmpfile},
    {"path", &Features::path},
    {"atime", &Features::atime},
    {"removed", &Features::removed},
    {"omit", &Features::omit},
    {"slash", &Features::slash},
}};

}  // namespace

std::uint64_t Random::next() {  // splitmix64
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
  z = (z ^ z >> 27) * 0x94d049bb133111ebU;
  return z ^ z >> 31;
}

Features parse_features(const std::string& text) {
  Features features;
  const std::string padded = "," + text + ",";
  for (const auto& [name, member] : feature_names)
    features.*member = padded.find("," + std::string(name) + ",") != std::string::npos;
  return features;
}

std::string names_of(const Features& features) {
  std::string text;
  for (const auto& [name, member] : feature_names)
    if (features.*member) text += (text.empty() ? "" : ",") + std::string(name);
  return text;
}

Generator::Generator(std::uint64_t seed, unsigned processes, Features features)
    : random_(seed), processes_(processes), features_(features) {
  for (const Name& name : names) {
    if (!is_for(name.kind, features)) continue;
    weights_.emplace_back(name.kind, name.weight);
    weight_sum_ += name.weight;
  }
}

Kind Generator::choose_kind() {
  std::uint64_t drawn = random_.below(weight_sum_);
  for (const auto& [kind, weight] : weights_) {
    if (drawn < weight) return kind;
    drawn -= weight;
  }
  return Kind::stat;
}

// Few names, so that steps meet: four in each directory, most paths of one or two components.
std::string Generator::path() {
  std::string text;
  if (random_.percent(5)) text = "@/";
  const std::uint64_t shape = random_.below(100);
  const unsigned depth = shape < 45 ? 1 : shape < 80 ? 2 : shape < 97 ? 3 : 4;
  for (unsigned i = 0; i < depth; ++i) {
    if (i > 0) text += random_.percent(2) ? "//" : "/";
    text += static_cast<char>('a' + random_.below(4));
  }
  switch (random_.below(150)) {
    case 0:
      return text + "/";
    case 1:
      return text + "/.";
    case 2:
      return text + "/..";
    case 3:
      return text + "/../a";
    case 4:
      return "./" + text;
    case 5:
      return ".";
    case 6:
      return "";
    case 7:
      return text + "/" + std::string(255, 'n');
    case 8:
      return text + "/" + std::string(256, 'n');
    case 9:
      return std::string(255, 'm');
    case 10:
      return "missing/" + text;
    default:
      return text;
  }
}

int Generator::base() {
  return random_.percent(15) ? static_cast<int>(random_.below(slots)) : working;
}

Step Generator::next() {
  Step step;
  step.number = number_++;
  if (of_child_ == 0 && random_.percent(50))
    process_ = static_cast<unsigned>(random_.below(processes_));
  step.process = process_;
  step.kind = choose_kind();
  if (of_child_ > 0) {
    --of_child_;
    if (step.kind == Kind::fork) step.kind = Kind::write;
  }
  fill(step);
  if (step.kind == Kind::fork) of_child_ = step.count;
  return step;
}

void Generator::fill(Step& step) {
  constexpr std::array<mode_t, 8> modes{0644, 0600, 0755, 0700, 0444, 0, 0777, 0640};
  constexpr std::array<int, 4> accesses{O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
  const auto length = [&]() -> std::size_t {
    const std::uint64_t kind = random_.below(100);
    if (kind < 3) return 0;
    if (kind < 55) return 1 + random_.below(100);
    if (kind < 75) return 1 + random_.below(5000);
    return 1 + random_.below(150'000);
  };
  const auto time = [&]() -> std::int64_t {
    if (random_.percent(15)) return times_now;
    if (random_.percent(15)) return times_omit;
    const auto whole = static_cast<std::int64_t>(1'000'000'000 + random_.below(300'000'000));
    return whole * 1'000'000'000 + static_cast<std::int64_t>(random_.below(1'000'000'000));
  };
  step.slot = static_cast<int>(random_.below(slots));
  step.base = base();
  step.base2 = base();
  step.path = path();
  step.path2 = path();
  step.mode = modes[random_.below(modes.size())];
  step.offset =
      static_cast<off_t>(random_.percent(60) ? random_.below(6000) : random_.below(300'000));
  step.length = length();
  step.accessed = time();
  step.modified = time();
  if (!features_.omit && step.accessed == times_omit && step.modified == times_omit)
    step.modified = times_now;
  step.count = 1 + static_cast<unsigned>(random_.below(5));
  const std::uint64_t drawn = random_.next();
  const auto one_in = [&](unsigned of) { return random_.below(of) == 0; };
  switch (step.kind) {
    case Kind::open:
      step.flags = accesses[drawn % accesses.size()];
      if (features_.tmpfile && random_.percent(4)) {
        step.flags = O_TMPFILE | (random_.percent(50) ? O_RDWR : O_WRONLY);
        break;
      }
      if (features_.path && random_.percent(5)) {
        step.flags = O_PATH;
        if (one_in(2)) step.flags |= O_NOFOLLOW;
        if (one_in(4)) step.flags |= O_DIRECTORY;
        break;
      }
      if (one_in(2)) step.flags |= O_CREAT;
      if (one_in(6)) step.flags |= O_EXCL;
      if (one_in(6)) step.flags |= O_TRUNC;
      if (one_in(6)) step.flags |= O_APPEND;
      if (one_in(8)) step.flags = O_RDONLY | O_DIRECTORY;
      if (one_in(12)) step.flags |= O_NOFOLLOW;
      if ((step.flags & O_CREAT) == 0) step.flags &= ~O_EXCL;  // undefined
      if ((step.flags & O_CREAT) != 0 && !features_.slash && step.path.ends_with('/'))
        step.path.pop_back();
      break;
    case Kind::seek: {
      constexpr std::array<int, 3> whences{SEEK_SET, SEEK_CUR, SEEK_END};
      step.flags = whences[drawn % whences.size()];
      if (step.flags != SEEK_SET || random_.percent(3)) step.offset -= 3000;
      break;
    }
    case Kind::duplicate:
      step.count = static_cast<unsigned>(drawn % slots);  // the slot it goes to
      break;
    case Kind::set_flags:
      step.flags = one_in(2) ? O_APPEND : 0;
      break;
    case Kind::sync:
      step.flags = one_in(2) ? 1 : 0;
      break;
    case Kind::access: {
      constexpr std::array<int, 4> wanted{F_OK, R_OK, W_OK, X_OK};
      step.flags = wanted[drawn % wanted.size()];
      break;
    }
    case Kind::stat:
    case Kind::times:
    case Kind::link:
    case Kind::set_xattr:
    case Kind::get_xattr:
    case Kind::list_xattr:
    case Kind::remove_xattr:
      step.flags = one_in(2) ? 1 : 0;  // the other one of the two with symlinks
      if (step.kind == Kind::set_xattr) {
        step.mode = one_in(4) ? XATTR_CREATE : one_in(4) ? XATTR_REPLACE : 0;
        step.length %= 300;
      }
      if (step.kind == Kind::set_xattr || step.kind == Kind::get_xattr ||
          step.kind == Kind::remove_xattr)
        step.path2 = std::string("user.") + static_cast<char>('x' + drawn % 3);
      break;
    case Kind::symlink:
      // A path that grows by many such names is too long for a request, where Linux has no limit.
      if (step.path2.size() > 100) step.path2 = "a";
      break;
    case Kind::rename:
      // Whose names are too long is looked at when both directories are known.
      if (step.path.size() > 255) step.path = "b";
      if (step.path2.size() > 255) step.path2 = "c";
      if (one_in(8)) step.flags = RENAME_NOREPLACE;
      if (features_.exchange && one_in(8)) step.flags = RENAME_EXCHANGE;
      break;
    case Kind::truncate:
    case Kind::truncate_fd:
      if (random_.percent(2)) step.offset = -1;
      break;
    default:
      break;
  }
}

std::string describe(const Step& step) {
  const auto at = [](int base, const std::string& path) {
    std::string text = base == working ? "" : std::to_string(base) + ":";
    if (path.size() < 100) return text + "'" + path + "'";
    return text + "'" + path.substr(0, 8) + "…" + std::to_string(path.size()) + "'";
  };
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, " slot %d flags %#x mode %o offset %lld length %zu",
                step.slot, static_cast<unsigned>(step.flags), step.mode,
                static_cast<long long>(step.offset), step.length);
  std::string text = std::string(name_of(step.kind));
  switch (step.kind) {
    case Kind::open:
    case Kind::stat:
    case Kind::lstat:
    case Kind::access:
    case Kind::read_link:
    case Kind::unlink:
    case Kind::make_directory:
    case Kind::remove_directory:
    case Kind::chmod:
    case Kind::times:
    case Kind::truncate:
    case Kind::list:
      return text + " " + at(step.base, step.path) + numbers;
    case Kind::link:
    case Kind::rename:
      return text + " " + at(step.base, step.path) + " " + at(step.base2, step.path2) + numbers;
    case Kind::symlink:
      return text + " " + at(working, step.path2) + " " + at(step.base, step.path);
    case Kind::set_xattr:
    case Kind::get_xattr:
    case Kind::list_xattr:
    case Kind::remove_xattr:
      return text + " " + at(working, step.path) + " " + step.path2 + numbers;
    case Kind::duplicate:
      return text + " " + std::to_string(step.slot) + " to " + std::to_string(step.count);
    case Kind::fork:
      return text + " for " + std::to_string(step.count);
    case Kind::link_fd:
      return text + " " + std::to_string(step.slot) + " " + at(step.base, step.path);
    default:
      return text + numbers;
  }
}

}  // namespace model
