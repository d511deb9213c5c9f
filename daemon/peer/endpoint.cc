#include "daemon/peer/endpoint.h"

namespace benchfs::peer {

ucs_status_t Endpoint::open(ucp_worker_h worker, std::span<const std::byte> address,
                            ucp_err_handler_cb_t failed, void* argument) {
  close();
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = failed;
  params.err_handler.arg = argument;
  const ucs_status_t status = ucp_ep_create(worker, &params, &endpoint_);
  if (status != UCS_OK) endpoint_ = nullptr;
  return status;
}

void Endpoint::close() {
  if (endpoint_ != nullptr) close_endpoint(std::exchange(endpoint_, nullptr));
}

void close_endpoint(ucp_ep_h endpoint) {
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  params.flags = UCP_EP_CLOSE_FLAG_FORCE;
  void* request = ucp_ep_close_nbx(endpoint, &params);
  if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);
}

}  // namespace benchfs::peer
