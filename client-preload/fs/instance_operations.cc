// Operations on the instance as a whole.
#include <array>

#include "client-preload/fs/attributes.h"
#include "client-preload/fs/host_file_system.h"

namespace benchfs {

std::unique_ptr<FileSystem> FileSystem::make(const Settings& settings) {
  return std::make_unique<HostFileSystem>(settings);
}

Result<struct statvfs> HostFileSystem::statistics() {
  TRY_OK(core_.ready());
  const wire::FileSystemInfo message{.all = 1};
  TRY(const auto reply, core_.ask(core_.host.leader_rank(), message));
  return to_statvfs(reply, device_of(core_.host.instance()));
}

std::uint64_t HostFileSystem::requests_sent() const {
  return core_.connected() ? core_.host.requests_sent() : 0;
}

Result<std::vector<std::optional<wire::StatusReply>>> HostFileSystem::status() {
  TRY_OK(core_.ready());
  std::vector<std::optional<wire::StatusReply>> replies(core_.host.ranks());
  const wire::StatusRequest message{.reserved = 0};
  constexpr std::uint32_t at_once = 8;
  for (std::uint32_t from = 0; from < core_.host.ranks(); from += at_once) {
    std::array<Request, at_once> requests;
    std::array<bool, at_once> asked{};
    const std::uint32_t count = std::min(at_once, core_.host.ranks() - from);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto channel = core_.host.channel(from + i);
      if (!channel.ok() || !requests[i].try_begin(**channel)) continue;
      requests[i].add(wire::bytes_of(message));
      requests[i].post(wire::Op::status, from + i);
      asked[i] = true;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!asked[i] || !requests[i].wait().ok()) continue;
      const auto reply = wire::parse<wire::StatusReply>(requests[i].body());
      if (reply.ok()) replies[from + i] = *reply;
    }
  }
  return replies;
}

Status HostFileSystem::stop_servers() {
  TRY_OK(core_.ready());
  const wire::Stop message{.from_rank_0 = 0};
  TRY([[maybe_unused]] const auto done, core_.ask(core_.host.leader_rank(), message));
  return Done{};
}

Result<std::uint32_t> HostFileSystem::ranks() {
  TRY_OK(core_.ready());
  return core_.host.ranks();
}

Result<std::vector<std::byte>> HostFileSystem::ask_rank(std::uint32_t rank, wire::Op op,
                                                        std::span<const std::byte> body) {
  TRY_OK(core_.ready());
  TRY(Channel* const channel, core_.host.channel(rank));
  Request request;
  request.begin(*channel);
  if (!request.add(body)) return Error(E2BIG);
  request.post(op, rank);
  TRY_OK(request.wait());
  return std::vector<std::byte>(request.body().begin(), request.body().end());
}

}  // namespace benchfs
