#include "daemon/peer/ucx_context.h"

#include <dlfcn.h>
#include <ucm/api/ucm.h>
#include <ucs/config/global_opts.h>
#include <ucs/debug/debug.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "daemon/peer/error.h"
#include "daemon/peer/messages.h"

namespace benchfs::peer {
namespace {

// All but shared memory: across network namespaces UCX takes it for reachable and hangs.
constexpr const char* default_transports = "^sm";

// Our own prefix wins over the plain one, in ucp_config_read as here.
const char* asked(const char* name) {
  const char* value = std::getenv((std::string("BENCHFS_UCX_") + name).c_str());
  return value != nullptr ? value : std::getenv((std::string("UCX_") + name).c_str());
}

// These belong to the library, not to a context, and know the plain prefix only.
bool library_asked(const char* name) {
  return std::getenv((std::string("UCX_") + name).c_str()) != nullptr;
}

std::string environment_text(const char* name) {
  const char* value = std::getenv(name);
  return std::string(name) + (value != nullptr ? std::string("=") + value : " is not set");
}

// UCX catches these signals when it is loaded, before anybody could ask it not to. Handlers that
// somebody else has set since are left alone.
void release_signals() {
  if (library_asked("HANDLE_ERRORS")) return;
  for (const int number : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGHUP}) {
    struct sigaction action {};
    Dl_info info{};
    if (::sigaction(number, nullptr, &action) != 0) continue;
    if (::dladdr(reinterpret_cast<void*>(action.sa_handler), &info) == 0) continue;
    const std::filesystem::path library(info.dli_fname);
    if (library.filename().string().starts_with("libucs.so")) ucs_debug_disable_signal(number);
  }
}

// Every status of UCX ends in a line of ours or in an errno; its own errors, one at each attempt to
// reach a peer that is down, would only repeat it.
void quiet_log() {
  if (!library_asked("LOG_LEVEL")) ucs_global_opts_set_value("LOG_LEVEL", "fatal");
}

// Nobody here listens to changes of mappings. UCX has patched mmap and its like in libc when it was
// loaded, unless UCX_MEM_EVENTS=n was in the environment of the program; that cannot be undone (the
// hook mode must not even be changed any more: the patched mmap would call itself), but no listener
// is added from here on.
void no_memory_events() {
  if (!library_asked("MEM_EVENTS")) ucm_global_opts.enable_events = 0;
}

struct Default {
  const char* name;
  const char* value;
};
constexpr Default defaults[] = {
    {"TLS", default_transports},
    // The loop must not wait for a host that does not answer.
    {"TCP_CONN_NB", "y"},
    // We ask for signs of life ourselves, and only while something is outstanding.
    {"KEEPALIVE_INTERVAL", "inf"},
    {"RESOLVE_REMOTE_EP_ID", "y"},
};

}  // namespace

std::string UcxContext::devices_text() {
  const char* devices = asked("NET_DEVICES");
  return devices != nullptr ? std::string(" by the devices that UCX_NET_DEVICES names: ") + devices
                            : std::string();
}

Result<UcxContext> UcxContext::create(std::string& why) {
  // In a Slurm service step these were meant for the job's MPI.
  const char* service_step = std::getenv("BENCHFS_SERVICE_STEP");
  if (service_step != nullptr && std::strcmp(service_step, "1") == 0) {
    ::unsetenv("UCX_TLS");
    ::unsetenv("UCX_NET_DEVICES");
  }
  release_signals();
  no_memory_events();
  quiet_log();

  const char* transports = asked("TLS") != nullptr ? asked("TLS") : default_transports;
  UcxContext context;
  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read("BENCHFS", nullptr, &config);
  if (status == UCS_OK) {
    for (const auto& [name, value] : defaults) {
      if (status == UCS_OK && asked(name) == nullptr)
        status = ucp_config_modify(config, name, value);
    }
    if (status == UCS_OK) status = context.open(*config);
    ucp_config_release(config);
  }
  if (status == UCS_OK) return context;

  why = std::string("Failed to create UCX context: ") + ucs_status_string(status) +
        " (transports tried: " + transports + "; " + environment_text("BENCHFS_UCX_TLS") + ", " +
        environment_text("UCX_TLS") + ", " + environment_text("BENCHFS_UCX_NET_DEVICES") + ", " +
        environment_text("UCX_NET_DEVICES") +
        "); set BENCHFS_UCX_TLS to transports this host has (ucx_info -d lists them; tcp works "
        "wherever a network interface is up), or unset these variables";
  return error_of(status);
}

ucs_status_t UcxContext::open(const ucp_config_t& config) {
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  params.name = "benchfs";
  if (const ucs_status_t status = ucp_init(&params, &config, &context_); status != UCS_OK)
    return status;

  ucp_worker_params_t worker_params{};
  worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_EVENTS;
  worker_params.thread_mode = UCS_THREAD_MODE_SINGLE;
  worker_params.events = UCP_WAKEUP_RX | UCP_WAKEUP_TX;
  if (const ucs_status_t status = ucp_worker_create(context_, &worker_params, &worker_);
      status != UCS_OK) {
    return status;
  }

  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  if (const ucs_status_t status = ucp_worker_query(worker_, &attributes); status != UCS_OK)
    return status;
  if (attributes.max_am_header < sizeof(Header) + inline_body_bytes_max) return UCS_ERR_UNSUPPORTED;

  if (const ucs_status_t status = ucp_worker_get_efd(worker_, &event_fd_); status != UCS_OK)
    return status;
  return ucp_worker_get_address(worker_, &address_, &address_bytes_);
}

UcxContext::~UcxContext() {
  if (address_ != nullptr) ucp_worker_release_address(worker_, address_);
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  if (context_ != nullptr) ucp_cleanup(context_);
}

}  // namespace benchfs::peer
