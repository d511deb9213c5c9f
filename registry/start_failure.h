// StartFailure: why servers did not start, as one line for the user and an exit code by cause.
//
// Start-up is the one place with exceptions: everything in it ends in this line or in success.
#pragma once

#include <stdexcept>
#include <string>

namespace benchfs {

// Exit codes of benchfsd_mpi; benchfsd_mpi(8) lists them.
namespace exit_code {
inline constexpr int orderly = 0;
inline constexpr int usage = 2;
inline constexpr int configuration = 3;
inline constexpr int registry = 4;        // missing or unusable
inline constexpr int peers = 5;           // ranks missing at the time-out
inline constexpr int other_instance = 6;  // the registry belongs to a live or different instance
inline constexpr int storage = 7;         // data directory unwritable or in use
inline constexpr int network = 8;
inline constexpr int worker = 9;  // died
inline constexpr int other = 10;
}  // namespace exit_code

// A cause that many ranks meet at once is told by one of them.
enum class Teller {
  self,           // only this rank knows
  once_per_host,  // every rank of this host meets it
  rank_0,         // every rank meets it
  nobody,         // another rank has told it already
};

class StartFailure : public std::runtime_error {
 public:
  StartFailure(int code, const std::string& line, Teller teller = Teller::self)
      : std::runtime_error(line), code_(code), teller_(teller) {}
  int code() const { return code_; }
  Teller teller() const { return teller_; }

 private:
  int code_;
  Teller teller_;
};

}  // namespace benchfs
