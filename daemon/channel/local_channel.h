// LocalChannel: the clients of this host. Accepts them, finds their posted requests by doorbell,
// runs the handlers here or passes the request on, and answers in the slot.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "common/fd.h"
#include "common/ring.h"
#include "common/shared_memory.h"
#include "daemon/channel/client.h"
#include "daemon/channel/host_keeper.h"
#include "daemon/channel/lock_relay.h"
#include "daemon/rpc/server.h"

namespace benchfs {

class LocalChannel final : public Source {
 public:
  // What a leader hands out besides its own rings; empty for other ranks.
  struct HostDescriptors {
    int host_table = -1;
    int transfer_pool = -1;
    int placeholder = -1;
    int leased_view = -1;
  };
  struct Parts {
    Fd listener;
    Fd control;  // memfd of the ControlPage
    Mapping control_page;
    Fd doorbell;  // eventfd
    Fd view;      // memfd of the HostView
    HostDescriptors host;
    Mapping* pool = nullptr;
    InstanceId instance{};
  };
  LocalChannel(Server& server, HostKeeper* keeper, Parts parts);
  ~LocalChannel() override;

  void close();  // no new clients, no new requests; those in flight are answered
  std::uint32_t clients() const { return server_.counters.clients; }
  std::uint32_t in_flight() const { return in_flight_; }

  bool poll() override;
  bool arm() override;
  void disarm() override;

 private:
  void accept_clients();
  void greet(int socket);
  // `region`: the client's own, of its time with an earlier server; else one is made.
  Status let_in(Fd& socket, std::uint32_t uid, pid_t pid, Fd region);
  void take_over(Client& client);
  void remove(std::uint32_t id);
  void forget_if_idle(std::uint32_t id);
  void start_posted(Client& client);
  static Task<int> serve(LocalChannel& channel, Client& client, std::uint32_t index);
  Task<Answer> run(Client& client, const wire::Envelope& envelope, std::span<const std::byte> body);
  Task<Answer> finish_open(Client& client, const wire::Open& request, Answer answer);
  std::span<std::byte> pool_buffer(std::uint32_t buffer) const;
  ControlPage& page() const { return parts_.control_page.at<ControlPage>(); }

  Server& server_;
  HostKeeper* keeper_;
  Parts parts_;
  LockRelay locks_;
  std::array<std::unique_ptr<Client>, clients_max> clients_;
  std::unordered_map<int, Fd> greeting_;  // connected, hello not read yet
  std::uint32_t in_flight_ = 0;
  bool closing_ = false;
};

}  // namespace benchfs
