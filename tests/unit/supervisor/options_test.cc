#include "daemon/supervisor/options.h"

#include <gtest/gtest.h>

#include "registry/start_failure.h"

namespace benchfs {
namespace {

std::variant<Options, EndNow> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "benchfsd_mpi");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

Options options(const std::vector<const char*>& arguments) {
  return std::get<Options>(parse(arguments));
}

EndNow end(const std::vector<const char*>& arguments) { return std::get<EndNow>(parse(arguments)); }

TEST(ParseOptions, TakesTheRegistryAndPerhapsAFile) {
  EXPECT_EQ(options({"/reg"}).registry_dir, "/reg");
  EXPECT_EQ(options({"/reg", "my.conf"}).config_file, "my.conf");
}

TEST(ParseOptions, TakesSettingsInAnyPlace) {
  const Options got = options({"--set", "log.level=debug", "/reg", "--set=node.keep_data=true"});
  EXPECT_EQ(got.registry_dir, "/reg");
  EXPECT_EQ(got.settings, (std::vector<std::string>{"log.level=debug", "node.keep_data=true"}));
}

TEST(ParseOptions, ExplainsItself) {
  EXPECT_EQ(end({"--help"}).exit_code, 0);
  EXPECT_NE(end({"--help"}).text.find("REGISTRY_DIR"), std::string::npos);
  EXPECT_EQ(end({"--version"}).exit_code, 0);
  EXPECT_NE(end({"--help-config"}).text.find("data_dir"), std::string::npos);
}

TEST(ParseOptions, RefusesInOneLine) {
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{}, {""}, {"a", "b", "c"}, {"--wrong", "a"}, {"a", "--set"}}) {
    const EndNow answer = end(arguments);
    EXPECT_EQ(answer.exit_code, exit_code::usage);
    EXPECT_TRUE(answer.text.starts_with("benchfsd_mpi: "));
    EXPECT_EQ(std::count(answer.text.begin(), answer.text.end(), '\n'), 1) << answer.text;
  }
}

}  // namespace
}  // namespace benchfs
