// Rank and size by MPI, where there is a launcher but no PMIx.
//
// libmpi is loaded when this is asked for and not linked: a start by PMIx is spared its 200 ms and
// its network stack, and one build serves Open MPI and the MPICH family. They differ in what
// MPI_COMM_WORLD is: the address of an object here, a number there.
#include <dlfcn.h>

#include <array>
#include <cstring>

#include "common/log.h"
#include "daemon/supervisor/file_rendezvous.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

// A handle is a pointer in Open MPI and an int in MPICH; both are passed in one register, and in
// the conventions we know a callee that takes an int ignores the upper half.
using Handle = void*;

struct Mpi {
  int (*init)(int*, char***) = nullptr;
  int (*comm_rank)(Handle, int*) = nullptr;
  int (*comm_size)(Handle, int*) = nullptr;
  int (*bcast)(void*, int, Handle, int, Handle) = nullptr;
  int (*finalize)() = nullptr;
  Handle world = nullptr;
  Handle byte = nullptr;
};

template <class Function>
void look_up(void* library, const char* name, Function*& out) {
  out = reinterpret_cast<Function*>(::dlsym(library, name));
  if (out == nullptr)
    throw StartFailure(exit_code::other, std::string("The MPI library has no ") + name +
                                             ": set node.bootstrap to pmix or slurm");
}

Mpi load_mpi() {
  // The components of Open MPI look for its symbols globally.
  void* library = nullptr;
  const bool open_mpi = ::getenv("OMPI_COMM_WORLD_RANK") != nullptr;
  const std::array<const char*, 3> names =
      open_mpi ? std::array{"libmpi.so.40", "libmpi.so", "libmpi.so.12"}
               : std::array{"libmpi.so.12", "libmpich.so.12", "libmpi.so.40"};
  for (const char* const name : names) {
    library = ::dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    if (library != nullptr) break;
  }
  if (library == nullptr)
    throw StartFailure(exit_code::other, std::string("MPI library cannot be loaded: ") +
                                             ::dlerror() +
                                             ": add its directory to LD_LIBRARY_PATH, or set "
                                             "node.bootstrap to pmix or slurm");
  Mpi mpi;
  look_up(library, "MPI_Init", mpi.init);
  look_up(library, "MPI_Comm_rank", mpi.comm_rank);
  look_up(library, "MPI_Comm_size", mpi.comm_size);
  look_up(library, "MPI_Bcast", mpi.bcast);
  look_up(library, "MPI_Finalize", mpi.finalize);
  mpi.world = ::dlsym(library, "ompi_mpi_comm_world");
  mpi.byte = ::dlsym(library, "ompi_mpi_byte");
  if (mpi.world == nullptr) {
    mpi.world = reinterpret_cast<Handle>(0x44000000L);
    mpi.byte = reinterpret_cast<Handle>(0x4c00010dL);
  }
  return mpi;
}

class MpiRendezvous final : public FileRendezvous {
 public:
  MpiRendezvous(const Place& place, Registry& registry) : FileRendezvous(registry), place_(place) {}

  void connect(NodeRecord& own, const Patience&) override {
    const Mpi mpi = load_mpi();
    if (mpi.init(nullptr, nullptr) != 0)
      throw StartFailure(
          exit_code::other,
          "MPI_Init failed: see its message, or set node.bootstrap to pmix or slurm");
    int rank = -1;
    int size = -1;
    mpi.comm_rank(mpi.world, &rank);
    mpi.comm_size(mpi.world, &size);
    // The rank of the environment has its directory by now, and its worker.
    if (rank != static_cast<int>(place_.rank) || size < 1 ||
        (place_.size != 0 && size != static_cast<int>(place_.size)))
      throw StartFailure(
          exit_code::other,
          fmt::format("MPI says rank {} of {}, the environment says rank {} of {}: the MPI library "
                      "does not know this launcher: set node.bootstrap to pmix or slurm",
                      rank, size, place_.rank, place_.size));
    own.rank = static_cast<std::uint32_t>(rank);
    own.size = static_cast<std::uint32_t>(size);
    if (own.launch_id == 0 && size > 1) {
      std::uint64_t token = 0;
      if (rank == 0) {
        const Identity random = make_identity();
        std::memcpy(&token, random.instance.data(), sizeof token);
      }
      mpi.bcast(&token, sizeof token, mpi.byte, 0, mpi.world);
      own.launch_id = token;
    }
    mpi.finalize();
  }
  std::string host_of(std::uint32_t) override { return {}; }

 private:
  Place place_;
};

}  // namespace

std::unique_ptr<Rendezvous> make_mpi_rendezvous(const Place& place, Registry& registry) {
  return std::make_unique<MpiRendezvous>(place, registry);
}

}  // namespace benchfs
