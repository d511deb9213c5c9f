#include "client-preload/fs/path_walk.h"

#include <algorithm>
#include <cstring>

#include "client-preload/fs/core.h"
#include "client-preload/fs/thread_own.h"
#include "client-preload/fs/view_walk.h"
#include "common/placement.h"

namespace benchfs {
namespace {

constexpr int symlinks_max = 40;
constexpr int restarts_max = 8;
constexpr int steps_max = 8192;

thread_local ThreadOwn<std::string> outside;

std::string_view without_slashes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('/'), text.size()));
  return text;
}

// "name" of "/name/and/more".
std::string_view first_name(std::string_view text) {
  text = without_slashes(text);
  return text.substr(0, text.find('/'));
}

}  // namespace

const std::string& outside_path() { return outside.get(); }

// Whether what the walk began at is still where the path leads, as far as can be seen.
bool PathWalk::began_well() const {
  return began_at_ == path_.inode ||
         walk_in_view(core_, path_.inode, path_.text).inode == began_at_;
}

void PathWalk::go_to(std::uint64_t inode, std::string text) {
  inode_ = inode;
  own_ = std::move(text);
  text_ = own_;
}

Status PathWalk::perform(Request& request, wire::Op op, std::span<std::byte> head,
                         std::string_view suffix) {
  wire::Where where;
  std::memcpy(&where, head.data(), sizeof where);
  const std::uint32_t flags = where.flags;
  if (text_.size() > wire::path_bytes_max) return Error(ENAMETOOLONG);
  // Not from the top, where each server on the way would be asked.
  const Begun begun = walk_in_view(core_, path_.inode, path_.text);
  began_at_ = inode_ = begun.inode;
  text_ = begun.text;
  int restarts = 0;
  for (int step = 0; step < steps_max; ++step) {
    if (text_.size() > wire::path_bytes_max) return Error(ENAMETOOLONG);
    const std::uint64_t at = core_.parts.find(inode_, first_name(text_));
    where = {.inode = at,
             .path_bytes = static_cast<std::uint32_t>(text_.size()),
             .flags = flags | extra_flags_};
    std::memcpy(head.data(), &where, sizeof where);
    const std::uint32_t rank = home_rank(at);
    TRY(Channel* const channel, core_.host.channel(rank));
    request.begin(*channel);
    if (!request.add(head) || !request.add(wire::bytes_of(text_)) ||
        !request.add(wire::bytes_of(suffix)))
      return Error(ENAMETOOLONG);
    request.post(op, rank);
    const Status answered = request.wait();
    if (!answered.ok()) {
      // It was there a moment ago: removed, or renamed over, between two requests.
      const bool gone = answered.error() == Error(ENOENT) && (at_moved_inode_ || !began_well());
      if (gone && restarts++ < restarts_max) {
        began_at_ = inode_ = path_.inode;
        text_ = path_.text;
        extra_flags_ = 0;
        symlinks_ = 0;
        at_moved_inode_ = false;
        continue;
      }
      return answered;
    }
    if (!request.redirected()) return Done{};
    TRY_OK(redirect(request));
  }
  return Error(ELOOP);
}

Status PathWalk::redirect(const Request& request) {
  TRY(const auto where, wire::parse<wire::Redirect>(request.body()));
  if (where.consumed > text_.size()) return Error(EIO);
  const std::string_view left = text_.substr(where.consumed);
  const std::string_view rest = without_slashes(left);
  // "name/" is a directory or nothing, wherever the walk for the name ended.
  const bool only_slashes = rest.empty() && !left.empty();
  at_moved_inode_ = false;
  switch (where.kind) {
    case wire::RedirectKind::moved:
      inode_ = where.inode;
      text_ = rest;
      at_moved_inode_ = rest.empty();
      extra_flags_ = only_slashes ? std::uint32_t{wire::WhereFlag::directory} : 0;
      return Done{};
    case wire::RedirectKind::part: {
      TRY(const auto hint, wire::parse<wire::PartHint>(request.body().subspan(sizeof where)));
      core_.parts.learn(hint, first_name(rest), where.inode);
      inode_ = where.inode;
      text_ = rest;
      extra_flags_ = 0;
      return Done{};
    }
    case wire::RedirectKind::symlink: {
      if (++symlinks_ > symlinks_max) return Error(ELOOP);
      TRY(const auto target,
          wire::text(request.body(), sizeof where, request.body().size() - sizeof where));
      if (target.empty()) return Error(ENOENT);
      std::string next(target);
      if (!left.empty()) next.append("/").append(rest);
      extra_flags_ = 0;
      if (next.front() == '/') return go_outside_or_on(std::move(next));
      go_to(where.inode, std::move(next));
      return Done{};
    }
    case wire::RedirectKind::above: {
      std::string next = core_.mount.parent();
      if (next != "/") next += '/';
      next.append(rest);
      return go_outside_or_on(std::move(next));
    }
    default:
      return Error(EIO);
  }
}

Status PathWalk::go_outside_or_on(std::string name) {
  if (name.size() > wire::path_bytes_max) return Error(ENAMETOOLONG);
  if (const auto rest = core_.locate_absolute(name.c_str())) {
    go_to(root_inode, std::string(*rest));
    return Done{};
  }
  outside.get() = std::move(name);
  return Error(left_mount);
}

}  // namespace benchfs
