// UcxContext: one UCX context and its one worker, configured for servers; destroys both.
#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "common/result.h"

namespace benchfs::peer {

class UcxContext {
 public:
  // On failure `why` says which transports were tried and what the environment asked for.
  static Result<UcxContext> create(std::string& why);
  UcxContext(UcxContext&& other) noexcept
      : context_(std::exchange(other.context_, nullptr)),
        worker_(std::exchange(other.worker_, nullptr)),
        address_(std::exchange(other.address_, nullptr)),
        address_bytes_(other.address_bytes_),
        event_fd_(other.event_fd_) {}
  UcxContext& operator=(UcxContext&&) = delete;
  ~UcxContext();

  // What the environment says about devices: for the line about a peer that none reaches.
  static std::string devices_text();

  ucp_worker_h worker() const { return worker_; }
  int event_fd() const { return event_fd_; }  // belongs to the worker
  std::span<const std::byte> address() const {
    return {reinterpret_cast<const std::byte*>(address_), address_bytes_};
  }

 private:
  UcxContext() = default;
  ucs_status_t open(const ucp_config_t& config);

  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_address_t* address_ = nullptr;
  std::size_t address_bytes_ = 0;
  int event_fd_ = -1;
};

}  // namespace benchfs::peer
