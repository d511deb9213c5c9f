#include "spank-plugin/places.h"

#include <gtest/gtest.h>

namespace benchfs::spank {
namespace {

Settings settings() {
  Settings result;
  result.registry = "/shared/benchfs";
  result.data = "/local/benchfs";
  return result;
}

TEST(Places, DifferByUserJobAndRun) {
  const Job job{.id = 17, .restarts = 2, .uid = 1000, .nodes = 4};
  EXPECT_EQ(user_registry(settings(), 1000), "/shared/benchfs/1000");
  EXPECT_EQ(job_registry(settings(), job), "/shared/benchfs/1000/17.2");
  EXPECT_EQ(job_data(settings(), 17), "/local/benchfs/17");
}

TEST(Places, RegistriesOfAJobAreThoseOfAllItsRunsAndOfNoOtherJob) {
  EXPECT_TRUE(is_registry_of("17.0", 17));
  EXPECT_TRUE(is_registry_of("17.12", 17));
  for (const char* other : {"17", "17.", "17.x", "17.0.1", "170.0", "1.7", "7.0", "..", "17./x"})
    EXPECT_FALSE(is_registry_of(other, 17)) << other;
}

}  // namespace
}  // namespace benchfs::spank
