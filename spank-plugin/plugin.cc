// SPANK's entry points: which moment of which Slurm process is this? What is done then is in the
// files that contexts.h names.
#include <exception>
#include <span>

extern "C" {  // spank.h says so only below its declarations of the hooks
#include <slurm/spank.h>
}

#include "spank-plugin/contexts.h"
#include "spank-plugin/options.h"

namespace {

using namespace benchfs::spank;

// What the user chose in this process: SPANK's option callback has no argument to put it in.
Choice choice = Choice::unset;

// Slurm's processes are C: no exception may pass.
template <class Work>
int in_c(int failure, Work work) {
  try {
    return work();
  } catch (const std::exception& error) {
    slurm_error("benchfs: %s", error.what());
  } catch (...) {
    slurm_error("benchfs: unknown failure");
  }
  return failure;
}

int on_option(int, const char* value, int) {
  const auto parsed = parse_choice(value);
  if (!parsed) {
    slurm_error("benchfs: --benchfs takes on or off, not \"%s\"", value);
    return refuse;
  }
  choice = *parsed;
  return go_on;
}

char option_name[] = "benchfs";
char option_values[] = "on|off";
char option_usage[] = "give the job a parallel filesystem of its own nodes at /benchfs";
constexpr int argument_is_optional = 2;

spank_option option{option_name, option_values, option_usage, argument_is_optional, 0, on_option};

Settings settings_of(int argc, char** argv) {
  return parse_settings({argv, static_cast<std::size_t>(argc)});
}

// In prolog and epilog there are no callbacks.
bool is_enabled(spank_t spank) {
  char* value = nullptr;
  return spank_option_getopt(spank, &option, &value) == ESPANK_SUCCESS &&
         parse_choice(value) == Choice::on;
}

}  // namespace

// In C++ a constant of a namespace is internal unless declared before: Slurm would find no plugin.
extern "C" {
extern const char plugin_name[];
extern const char plugin_type[];
extern const unsigned int plugin_version;
extern const unsigned int spank_plugin_version;
SPANK_PLUGIN(benchfs, 1)

int slurm_spank_init(spank_t spank, int, char**) {
  switch (spank_context()) {
    case S_CTX_LOCAL:
    case S_CTX_ALLOCATOR:
    case S_CTX_REMOTE:
      return spank_option_register(spank, &option) == ESPANK_SUCCESS ? go_on : refuse;
    default:
      return go_on;
  }
}

int slurm_spank_init_post_opt(spank_t, int argc, char** argv) {
  switch (spank_context()) {
    case S_CTX_LOCAL:
    case S_CTX_ALLOCATOR:
      return in_c(refuse, [&] { return check_submission(settings_of(argc, argv), choice); });
    default:
      return go_on;
  }
}

int slurm_spank_local_user_init(spank_t spank, int argc, char** argv) {
  return in_c(refuse, [&] { return before_launch(spank, settings_of(argc, argv), choice); });
}

int slurm_spank_task_init_privileged(spank_t spank, int argc, char** argv) {
  return in_c(refuse, [&] { return before_task_as_root(spank, settings_of(argc, argv)); });
}

int slurm_spank_task_init(spank_t spank, int argc, char** argv) {
  return in_c(refuse, [&] { return before_task(spank, settings_of(argc, argv), choice); });
}

int slurm_spank_task_exit(spank_t spank, int argc, char** argv) {
  return in_c(go_on, [&] { return after_task(spank, settings_of(argc, argv)); });
}

int slurm_spank_job_prolog(spank_t spank, int argc, char** argv) {
  return in_c(go_on, [&] { return before_job(spank, settings_of(argc, argv), is_enabled(spank)); });
}

int slurm_spank_job_epilog(spank_t spank, int argc, char** argv) {
  return in_c(go_on, [&] { return after_job(spank, settings_of(argc, argv), is_enabled(spank)); });
}
}
