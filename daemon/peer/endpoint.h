// Endpoint: owns one UCX endpoint to one peer. Loop thread only, never inside a UCX callback.
#pragma once

#include <ucp/api/ucp.h>

#include <span>
#include <utility>

#include "common/result.h"

namespace benchfs::peer {

class Endpoint {
 public:
  Endpoint() = default;
  Endpoint(Endpoint&& other) noexcept : endpoint_(std::exchange(other.endpoint_, nullptr)) {}
  Endpoint& operator=(Endpoint&& other) noexcept {
    if (this != &other) {
      close();
      endpoint_ = std::exchange(other.endpoint_, nullptr);
    }
    return *this;
  }
  ~Endpoint() { close(); }

  // `failed` is called with `argument`, from UCX, at most once and not after close().
  ucs_status_t open(ucp_worker_h worker, std::span<const std::byte> address,
                    ucp_err_handler_cb_t failed, void* argument);
  // At once: what is outstanding ends with UCS_ERR_CANCELED in later progress. A close that
  // flushes would keep the transport's connection for the life of the worker.
  void close();

  ucp_ep_h get() const { return endpoint_; }

 private:
  ucp_ep_h endpoint_ = nullptr;
};

// For an endpoint that UCX made for a stranger: may be called in the callback that names it, which
// is the only place where it is sure to exist.
void close_endpoint(ucp_ep_h endpoint);

}  // namespace benchfs::peer
