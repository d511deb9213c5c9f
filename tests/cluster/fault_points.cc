// Prints the points of changes on several servers at which a test may have a server die.
#include "daemon/transaction/fault_points.h"

#include <cstdio>

int main() {
  for (const std::string& name : benchfs::fault_points()) std::puts(name.c_str());
}
