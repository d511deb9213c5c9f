#include "spank-plugin/options.h"

#include <gtest/gtest.h>

#include <vector>

namespace benchfs::spank {
namespace {

Settings parse(std::vector<const char*> arguments) { return parse_settings(arguments); }

TEST(Choice, IsOnWithoutArgument) {
  EXPECT_EQ(parse_choice(nullptr), Choice::on);
  EXPECT_EQ(parse_choice(""), Choice::on);
  EXPECT_EQ(parse_choice("(null)"), Choice::on);  // what Slurm makes of none on the nodes
}

TEST(Choice, IsOnOrOff) {
  EXPECT_EQ(parse_choice("on"), Choice::on);
  EXPECT_EQ(parse_choice("off"), Choice::off);
}

TEST(Choice, RefusesAllElse) {
  for (const char* value : {"maybe", "ON", "on ", "1", "onn", "=on", "yes"})
    EXPECT_FALSE(parse_choice(value)) << value;
}

TEST(Settings, NeedARegistryOnly) {
  const Settings settings = parse({"registry=/shared/benchfs"});
  EXPECT_EQ(settings.problem, "");
  EXPECT_EQ(settings.registry, "/shared/benchfs");
  EXPECT_EQ(settings.data, "/local/benchfs");
  EXPECT_EQ(settings.timeout_s, 60u);
  EXPECT_TRUE(settings.server.ends_with("/benchfsd_mpi"));
  EXPECT_TRUE(settings.preload.ends_with("/libbenchfs_preload.so"));

  EXPECT_NE(parse({}).problem.find("registry="), std::string::npos);
}

TEST(Settings, TakeEveryArgument) {
  const Settings settings =
      parse({"server=/a/s", "preload=/a/p.so", "registry=/r/", "data=/d//", "mpi=pmix_v4",
             "config=/etc/b.conf", "srun=/opt/slurm/bin/srun", "timeout=7"});
  EXPECT_EQ(settings.problem, "");
  EXPECT_EQ(settings.server, "/a/s");
  EXPECT_EQ(settings.preload, "/a/p.so");
  EXPECT_EQ(settings.registry, "/r");
  EXPECT_EQ(settings.data, "/d");
  EXPECT_EQ(settings.mpi, "pmix_v4");
  EXPECT_EQ(settings.config, "/etc/b.conf");
  EXPECT_EQ(settings.srun, "/opt/slurm/bin/srun");
  EXPECT_EQ(settings.timeout_s, 7u);
}

TEST(Settings, NameTheArgumentThatIsWrong) {
  for (const char* wrong :
       {"registy=/r", "registry", "=", "", "server=relative", "server=", "timeout=0", "timeout=-1",
        "timeout=3601", "timeout=1s", "timeout=99999999999999999999", "mpi=", "mpi=pmix;x",
        "preload=/a b.so", "preload=/a:b.so", "registry=/r%t"}) {
    const Settings settings = parse({"registry=/r", wrong});
    EXPECT_NE(settings.problem.find("\"" + std::string(wrong) + "\""), std::string::npos) << wrong;
    EXPECT_EQ(settings.problem.find('\n'), std::string::npos);
  }
}

TEST(Settings, ReportTheFirstProblem) {
  EXPECT_NE(parse({"nonsense=1", "timeout=x"}).problem.find("nonsense=1"), std::string::npos);
}

}  // namespace
}  // namespace benchfs::spank
