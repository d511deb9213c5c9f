// The home's side of leases: what goes out with a reply, and the recalls.
#include <algorithm>
#include <utility>

#include "common/log.h"
#include "daemon/rpc/server.h"

namespace benchfs {
namespace {

constexpr std::int64_t millisecond_ns = 1'000'000;
constexpr std::int64_t retry_ns = 50 * millisecond_ns;
// Clocks of two hosts run at almost the same rate, and clients read a coarse one.
constexpr std::int64_t clock_slack_ns = 100 * millisecond_ns;

std::string text_of(const std::vector<wire::LeaseKey>& keys) {
  return {reinterpret_cast<const char*>(keys.data()), keys.size() * sizeof(wire::LeaseKey)};
}

}  // namespace

// A host that cannot be reached goes on using its leases so long, and not longer.
std::uint32_t Server::leases_good_ms() const { return config.network.request_timeout_ms / 2; }

void Server::add_leases(std::uint32_t host, const std::vector<Passed>& passed, Answer& answer) {
  const std::size_t before = answer.body.size();
  names.lease(host, passed, wire::lease_list_bytes_max, answer.body);
  Leases::Host& holder = names.leases().host(host);
  holder.told_ns = sys::now_ns();
  answer.append(wire::bytes_of(
      wire::LeaseList{.epoch = holder.epoch,
                      .number = holder.number,
                      .good_ms = leases_good_ms(),
                      .bytes = static_cast<std::uint32_t>(answer.body.size() - before)}));
  answer.flags |= wire::Flag::leases;
}

// Until the host has dropped them, or is known dead: it did not answer for the request time-out,
// and by now its clients have stopped using what it holds.
Task<int> Server::recall_from(std::uint32_t host, wire::RecallLeases message, std::string keys) {
  const std::int64_t timeout_ns = std::int64_t{config.network.request_timeout_ms} * millisecond_ns;
  const std::int64_t good_ns = std::int64_t{leases_good_ms()} * millisecond_ns;
  const std::int64_t began_ns = sys::now_ns();
  for (;;) {
    const auto reply = co_await ask(host, message, keys);
    if (reply.ok()) co_return 0;
    const std::int64_t now_ns = sys::now_ns();
    const std::int64_t told_ns = names.leases().host(host).told_ns;
    if (now_ns - began_ns > timeout_ns && now_ns - told_ns > good_ns + good_ns / 8 + clock_slack_ns)
      break;
    co_await loop.sleep(retry_ns);
  }
  log::warn("host {} does not give back its leases: taken for dead after {} ms",
            topology.host_name_of[host], config.network.request_timeout_ms);
  names.leases().host_died(host);
  co_return 0;
}

// What came together goes together: one recall to a host at a time, the rest gathers meanwhile.
Task<int> Server::send_recalls(std::uint32_t host) {
  co_await loop.later();
  for (;;) {
    const auto keys = names.leases().take(host, wire::recall_keys_max);
    if (keys.empty()) co_return 0;
    Leases::Host& holder = names.leases().host(host);
    const wire::RecallLeases message{.epoch = holder.epoch,
                                     .number = ++holder.number,
                                     .count = static_cast<std::uint32_t>(keys.size()),
                                     .all = 0};
    ++counters.recalls;
    co_await recall_from(host, message, text_of(keys));
    names.leases().dropped(keys);
  }
}

Task<int> Server::recall_everything() {
  names.leases().begin_everything();
  Completion all(loop);
  int missing = 1;
  for (std::uint32_t rank = 0; rank < topology.size; ++rank) {
    if (topology.host_of[rank] != rank || rank == topology.host()) continue;
    ++missing;
    loop.spawn(recall_everything_of(rank, missing, all));
  }
  if (--missing != 0) co_await all;
  names.leases().end_everything();
  co_return 0;
}

Task<int> Server::recall_everything_of(std::uint32_t host, int& missing, Completion& all) {
  Leases::Host& holder = names.leases().host(host);
  const wire::RecallLeases message{
      .epoch = holder.epoch, .number = ++holder.number, .count = 0, .all = 1};
  co_await recall_from(host, message, {});
  if (--missing == 0) all.finish(0);
  co_return 0;
}

}  // namespace benchfs
